package bootstrap

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The verbs that occur together.
const (
	read      = "get list watch"
	follow    = "list watch"
	write     = "create update patch delete deletecollection"
	readWrite = read + " " + write
)

// on is a rule for resources of the API groups, which are separated by spaces
// ("core" is the one without a name), as are verbs and resources.
func on(verbs, groups, resources string, names ...string) rbacv1.PolicyRule {
	g := strings.Fields(groups)
	for i := range g {
		if g[i] == "core" {
			g[i] = ""
		}
	}
	slices.Sort(g)
	v, r := strings.Fields(verbs), strings.Fields(resources)
	slices.Sort(v)
	slices.Sort(r)
	slices.Sort(names)
	return rbacv1.PolicyRule{Verbs: v, APIGroups: g, Resources: r, ResourceNames: names}
}

// at is a rule for URL paths.
func at(verbs, paths string) rbacv1.PolicyRule {
	p := strings.Fields(paths)
	slices.Sort(p)
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), NonResourceURLs: p}
}

// events is the rule by which a component tells what it does.
func events() rbacv1.PolicyRule { return on("create update patch", "core events.k8s.io", "events") }

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name,
		Labels:      map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
		Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"},
	}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: meta("", name), Rules: rules}
}

// joins makes a role part of the aggregated role whole.
func joins(whole string, r *rbacv1.ClusterRole) *rbacv1.ClusterRole {
	r.Labels[aggregateLabel(whole)] = "true"
	return r
}

// aggregated is a role whose rules are those of the roles that join it.
func aggregated(name string) *rbacv1.ClusterRole {
	r := clusterRole(name)
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{aggregateLabel(name): "true"}},
	}}
	return r
}

func aggregateLabel(whole string) string { return rbacv1.GroupName + "/aggregate-to-" + whole }

func role(namespace, name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{ObjectMeta: meta(namespace, name), Rules: rules}
}

func clusterBinding(name string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta("", name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   subjects,
	}
}

// binding binds a role of the namespace; the binding has the role's name.
func binding(namespace, name string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: meta(namespace, name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   subjects,
	}
}

func user(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}

func group(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name}
}

// account is a service account of the namespace kube-system.
func account(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: name}
}
