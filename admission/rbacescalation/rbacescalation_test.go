package rbacescalation

import (
	"context"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/auth"
	"proa/auth/rbac"
	"proa/resource"
	rows "proa/resource/rbac"
)

func rule(verb, group, res string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{group}, Resources: []string{res}}
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	x := rbac.New()
	grant := func(user string, rules ...rbacv1.PolicyRule) {
		x.Set(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules})
		x.Set(&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: user}},
		})
	}
	grant("reader", rule("get", "", "pods"))
	grant("escalator", rule("escalate", rbacv1.GroupName, "clusterroles"))
	grant("binder", rule("bind", rbacv1.GroupName, "clusterroles"))
	pods, secrets := []rbacv1.PolicyRule{rule("get", "", "pods")}, []rbacv1.PolicyRule{rule("get", "", "secrets")}
	cr := func(rules []rbacv1.PolicyRule) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: rules}
	}
	owned := cr(secrets)
	owned.OwnerReferences = []metav1.OwnerReference{{}}
	whole := cr(nil)
	whole.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{}}}
	crb := func(role string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}}
	}
	roles, bindings := rows.ClusterRole(), rows.ClusterRoleBinding()
	tests := map[string]struct {
		user     string
		def      *resource.Definition
		obj, old resource.Object
		want     string
	}{
		"held":                {"reader", roles, cr(pods), nil, ""},
		"not held":            {"reader", roles, cr(secrets), nil, `clusterroles.rbac.authorization.k8s.io "r" is forbidden: user "reader" (groups=["g"]) is attempting to grant RBAC permissions not currently held:` + "\n" + `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`},
		"escalate":            {"escalator", roles, cr(secrets), nil, ""},
		"update by collector": {"reader", roles, cr(secrets), owned, ""},
		"aggregation":         {"reader", roles, whole, nil, `clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use an aggregationRule`},
		"away from it":        {"reader", roles, cr(pods), whole, `clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use an aggregationRule`},
		"bind held":           {"reader", bindings, crb("reader"), nil, ""},
		"bind not held":       {"reader", bindings, crb("binder"), nil, `clusterrolebindings.rbac.authorization.k8s.io "b" is forbidden: user "reader" (groups=["g"]) is attempting to grant RBAC permissions not currently held:`},
		"bind":                {"binder", bindings, crb("reader"), nil, ""},
		"bind what is not":    {"reader", bindings, crb("none"), nil, `clusterroles.rbac.authorization.k8s.io "none" not found`},
		"masters":             {"masters", roles, cr(secrets), nil, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &admission.Attributes{Operation: admission.Create, Definition: test.def, Object: test.obj, User: &auth.User{Name: test.user, Groups: []string{"g"}}}
			if test.old != nil {
				a.Operation, a.Old = admission.Update, test.old
			}
			if test.user == "masters" {
				a.User.Groups = []string{auth.GroupMasters}
			}
			_, err := admissiontest.Run(context.Background(), New(x, x), a)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
