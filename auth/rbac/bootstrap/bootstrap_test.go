package bootstrap

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"proa/auth"
	"proa/auth/rbac"
)

func TestDefaultIsSound(t *testing.T) {
	t.Parallel()
	p := Default()
	seen := map[string]bool{}
	roles := byName(p.ClusterRoles)
	for _, r := range p.ClusterRoles {
		if seen[r.Name] {
			t.Errorf("%s is there twice", r.Name)
		}
		seen[r.Name] = true
		if len(r.Rules) == 0 && r.AggregationRule == nil {
			t.Errorf("%s is empty", r.Name)
		}
	}
	for _, b := range p.ClusterRoleBindings {
		if roles[name{name: b.RoleRef.Name}] == nil {
			t.Errorf("%s binds a role that is not there", b.Name)
		}
	}
	local := byName(p.Roles)
	for _, b := range p.RoleBindings {
		if local[name{b.Namespace, b.RoleRef.Name}] == nil {
			t.Errorf("%s/%s binds a role that is not there", b.Namespace, b.Name)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	w := Plan(Policy{}, Default())
	if w.Empty() || !w.Update.empty() || !w.Recreate.empty() {
		t.Fatal("a new cluster gets everything, once")
	}
	have := w.Create
	if w := Plan(have, Default()); !w.Empty() {
		t.Fatalf("a complete cluster gets %+v", w)
	}

	get := func(p *Policy, n string) *rbacv1.ClusterRole {
		i := slices.IndexFunc(p.ClusterRoles, func(r *rbacv1.ClusterRole) bool { return r.Name == n })
		p.ClusterRoles[i] = p.ClusterRoles[i].DeepCopy()
		return p.ClusterRoles[i]
	}
	t.Run("missing rules are added and others kept", func(t *testing.T) {
		p := have
		p.ClusterRoles = slices.Clone(have.ClusterRoles)
		r := get(&p, "system:kube-dns")
		own := on("get", "core", "secrets")
		r.Rules = []rbacv1.PolicyRule{own, on("list", "core", "endpoints")}
		delete(r.Labels, "kubernetes.io/bootstrapping")
		w := Plan(p, Default())
		if len(w.Update.ClusterRoles) != 1 || !w.Create.empty() {
			t.Fatalf("got %+v", w)
		}
		u := w.Update.ClusterRoles[0]
		if u.Rules[0].Resources[0] != "secrets" || u.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" || len(r.Rules) != 2 {
			t.Errorf("got %+v", u)
		}
		for i := range p.ClusterRoles {
			if p.ClusterRoles[i] == r {
				p.ClusterRoles[i] = u
			}
		}
		if w := Plan(p, Default()); !w.Empty() {
			t.Errorf("the second time: %+v", w)
		}
	})
	t.Run("what an operator keeps stays", func(t *testing.T) {
		p := have
		p.ClusterRoles = slices.Clone(have.ClusterRoles)
		r := get(&p, "system:discovery")
		r.Rules, r.Annotations[rbacv1.AutoUpdateAnnotationKey] = nil, "false"
		if w := Plan(p, Default()); !w.Empty() {
			t.Errorf("got %+v", w)
		}
	})
	t.Run("subjects are added, and another role means another binding", func(t *testing.T) {
		p := have
		p.ClusterRoleBindings = slices.Clone(have.ClusterRoleBindings)
		for i, b := range p.ClusterRoleBindings {
			b = b.DeepCopy()
			switch b.Name {
			case "cluster-admin":
				b.Subjects = []rbacv1.Subject{user("me")}
				p.ClusterRoleBindings[i] = b
			case "system:discovery":
				b.RoleRef.Name, b.Subjects = "mine", []rbacv1.Subject{group("everybody")}
				p.ClusterRoleBindings[i] = b
			}
		}
		w := Plan(p, Default())
		if len(w.Update.ClusterRoleBindings) != 1 || len(w.Update.ClusterRoleBindings[0].Subjects) != 2 {
			t.Errorf("update: %+v", w.Update)
		}
		if r := w.Recreate.ClusterRoleBindings; len(r) != 1 || r[0].RoleRef.Name != "system:discovery" || r[0].Subjects[0].Name != auth.GroupAuthenticated {
			t.Errorf("recreate: %+v", w.Recreate)
		}
	})
}

// What some callers may and may not do in a new cluster.
func TestPowers(t *testing.T) {
	t.Parallel()
	x := rbac.New()
	w := Plan(Policy{}, Default()).Create
	for _, o := range w.ClusterRoles {
		x.Set(o)
	}
	for _, o := range w.ClusterRoleBindings {
		x.Set(o)
	}
	for _, o := range w.Roles {
		x.Set(o)
	}
	for _, o := range w.RoleBindings {
		x.Set(o)
	}
	for role, ns := range map[string]string{"admin": "a", "edit": "e", "view": "v"} {
		x.Set(&rbacv1.RoleBinding{
			ObjectMeta: meta(ns, role), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{user("u")},
		})
	}
	u := func(name string, groups ...string) *auth.User {
		return &auth.User{Name: name, Groups: append(groups, auth.GroupAuthenticated)}
	}
	sa := func(name string) *auth.User { return u("system:serviceaccount:kube-system:" + name) }
	res := func(verb, group, resource, ns string) auth.Attributes {
		return auth.Attributes{IsResource: true, Verb: verb, Group: group, Resource: resource, Namespace: ns}
	}
	named := func(verb, resource, name string) auth.Attributes {
		a := res(verb, "", resource, "kube-system")
		a.Name = name
		return a
	}
	path := func(p string) auth.Attributes { return auth.Attributes{Verb: "get", Path: p} }
	nobody := &auth.User{Name: auth.Anonymous, Groups: []string{auth.GroupUnauthenticated}}
	tests := []struct {
		user *auth.User
		a    auth.Attributes
		want bool
	}{
		{u("x", auth.GroupMasters), res("delete", "any", "thing", ""), true},
		{u("x"), path("/apis/apps/v1"), true},
		{u("x"), path("/metrics"), false},
		{nobody, path("/healthz"), true},
		{nobody, path("/apis"), false},
		{u("x"), res("create", "authorization.k8s.io", "selfsubjectaccessreviews", ""), true},
		{u("x"), res("create", "authorization.k8s.io", "subjectaccessreviews", ""), false},
		{sa("deployment-controller"), res("create", "apps", "replicasets", "n"), true},
		{sa("deployment-controller"), res("create", "", "secrets", "n"), false},
		{sa("generic-garbage-collector"), res("delete", "x.example", "things", "n"), true},
		{u("system:kube-scheduler"), res("create", "", "bindings", "n"), true},
		{u("system:node:n1", auth.GroupNodes), res("get", "", "secrets", "n"), false},
		{u("system:kube-proxy"), named("watch", "configmaps", "coredns"), true},
		{u("system:kube-proxy"), named("get", "configmaps", "coredns-custom"), true},
		{u("system:kube-proxy"), named("get", "configmaps", "kube-root-ca.crt"), false},
		{u("system:kube-proxy"), res("list", "", "configmaps", "kube-system"), false},
		{u("system:kube-proxy"), res("get", "", "secrets", "kube-system"), false},
		{sa("ingress-proxy"), res("list", "", "secrets", "n"), true},
		{sa("ingress-proxy"), res("update", "networking.k8s.io", "ingresses", "n"), false},
		{sa("ingress-status-controller"), res("get", "", "secrets", "n"), false},
		{u("u"), res("create", "rbac.authorization.k8s.io", "rolebindings", "a"), true},
		{u("u"), res("get", "", "secrets", "a"), true},
		{u("u"), res("create", "apps", "deployments", "a"), true},
		{u("u"), res("list", "", "pods", "a"), true},
		{u("u"), res("create", "rbac.authorization.k8s.io", "rolebindings", "e"), false},
		{u("u"), res("get", "", "secrets", "e"), true},
		{u("u"), res("update", "", "endpoints", "e"), false},
		{u("u"), res("get", "", "secrets", "v"), false},
		{u("u"), res("get", "", "configmaps", "v"), true},
		{u("u"), res("create", "", "pods", "v"), false},
	}
	for _, test := range tests {
		test.a.User = test.user
		d, reason, err := x.Authorize(t.Context(), &test.a)
		if err != nil || (d == auth.Allow) != test.want {
			t.Errorf("%s: %s %s%s in %q: %v (%s), want allowed=%v", test.user.Name, test.a.Verb, test.a.Resource, test.a.Path, test.a.Namespace, d, reason, test.want)
		}
	}
}
