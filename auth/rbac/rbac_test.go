package rbac

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"proa/auth"
)

// world is policy as stored, and the obvious authorizer over it: go through
// everything, each time.
type world struct {
	clusterRoles    map[string]*rbacv1.ClusterRole
	roles           map[string]*rbacv1.Role
	clusterBindings map[string]*rbacv1.ClusterRoleBinding
	bindings        map[string]*rbacv1.RoleBinding
}

func (w *world) allows(a *auth.Attributes) bool {
	is := func(s rbacv1.Subject, ns string) bool {
		switch s.Kind {
		case "User":
			return s.Name == a.User.Name
		case "Group":
			return slices.Contains(a.User.Groups, s.Name)
		case "ServiceAccount":
			if s.Namespace != "" {
				ns = s.Namespace
			}
			return ns != "" && a.User.Name == "system:serviceaccount:"+ns+":"+s.Name
		}
		return false
	}
	matches := func(rules []rbacv1.PolicyRule) bool {
		for _, r := range rules {
			if !slices.Contains(r.Verbs, "*") && !slices.Contains(r.Verbs, a.Verb) {
				continue
			}
			if !a.IsResource {
				for _, p := range r.NonResourceURLs {
					if p == "*" || p == a.Path || strings.HasSuffix(p, "*") && strings.HasPrefix(a.Path, strings.TrimSuffix(p, "*")) {
						return true
					}
				}
				continue
			}
			full := a.Resource
			if a.Subresource != "" {
				full += "/" + a.Subresource
			}
			if (slices.Contains(r.APIGroups, "*") || slices.Contains(r.APIGroups, a.Group)) &&
				(slices.Contains(r.Resources, "*") || slices.Contains(r.Resources, full) || a.Subresource != "" && slices.Contains(r.Resources, "*/"+a.Subresource)) &&
				(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name)) {
				return true
			}
		}
		return false
	}
	of := func(ref rbacv1.RoleRef, ns string) []rbacv1.PolicyRule {
		if ref.Kind == "ClusterRole" {
			if r := w.clusterRoles[ref.Name]; r != nil {
				return r.Rules
			}
		} else if r := w.roles[ns+"/"+ref.Name]; r != nil {
			return r.Rules
		}
		return nil
	}
	for _, b := range w.clusterBindings {
		for _, s := range b.Subjects {
			if b.RoleRef.Kind == "ClusterRole" && is(s, "") && matches(of(b.RoleRef, "")) {
				return true
			}
		}
	}
	for _, b := range w.bindings {
		for _, s := range b.Subjects {
			if b.Namespace == a.Namespace && a.Namespace != "" && is(s, b.Namespace) && matches(of(b.RoleRef, b.Namespace)) {
				return true
			}
		}
	}
	return false
}

type gen struct{ *rand.Rand }

func (g gen) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g gen) some(n int, from ...string) []string {
	var s []string
	for range g.IntN(n + 1) {
		s = append(s, g.pick(from...))
	}
	return s
}

func (g gen) rules() []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for range g.IntN(4) {
		r := rbacv1.PolicyRule{Verbs: g.some(3, "get", "list", "create", "bind", "approve", "*", "deletecollection", "")}
		if g.IntN(4) == 0 {
			r.NonResourceURLs = g.some(3, "*", "/metrics", "/api/*", "/api", "/healthz/*")
		} else {
			r.APIGroups = g.some(2, "", "apps", "*")
			r.Resources = g.some(3, "pods", "pods/log", "*/scale", "*", "deployments", "deployments/scale", "pods/*", "*/log")
			if g.IntN(3) == 0 {
				r.ResourceNames = g.some(2, "a", "b")
			}
		}
		rules = append(rules, r)
	}
	return rules
}

var (
	namespaces = []string{"n1", "n2"}
	names      = []string{"r1", "r2", "r3"}
	users      = []string{"alice", "bob", "system:serviceaccount:n1:sa", "system:serviceaccount:n2:sa", "dev"}
	groups     = []string{"dev", "ops", "alice", "system:authenticated"}
)

func (g gen) subjects() []rbacv1.Subject {
	var list []rbacv1.Subject
	for range g.IntN(4) {
		s := rbacv1.Subject{Kind: g.pick("User", "Group", "ServiceAccount", "Robot")}
		switch s.Kind {
		case "ServiceAccount":
			s.Name, s.Namespace = "sa", g.pick("n1", "n2", "")
		case "Group":
			s.Name = g.pick(groups...)
		default:
			s.Name = g.pick(users...)
		}
		list = append(list, s)
	}
	return list
}

// change writes or deletes one object, in the world and in the index.
func (g gen) change(w *world, x *Index) {
	ns, name, del := g.pick(namespaces...), g.pick(names...), g.IntN(4) == 0
	ref := rbacv1.RoleRef{Kind: g.pick("ClusterRole", "Role"), Name: g.pick(names...)}
	h := x.Handler()
	switch g.IntN(4) {
	case 0:
		o := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: g.rules()}
		apply(h, w.clusterRoles, name, o, del)
	case 1:
		o := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: g.rules()}
		apply(h, w.roles, ns+"/"+name, o, del)
	case 2:
		o := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: g.subjects()}
		apply(h, w.clusterBindings, name, o, del)
	case 3:
		o := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, RoleRef: ref, Subjects: g.subjects()}
		apply(h, w.bindings, ns+"/"+name, o, del)
	}
}

func apply[T any](h cache.ResourceEventHandler, m map[string]T, key string, o T, del bool) {
	was, ok := m[key]
	switch {
	case del && ok:
		delete(m, key)
		h.OnDelete(cache.DeletedFinalStateUnknown{Key: key, Obj: was})
	case del:
	case ok:
		m[key] = o
		h.OnUpdate(was, o)
	default:
		m[key] = o
		h.OnAdd(o, false)
	}
}

func (g gen) question() *auth.Attributes {
	a := &auth.Attributes{
		User: &auth.User{Name: g.pick(users...), Groups: g.some(2, groups...)},
		Verb: g.pick("get", "list", "create", "bind", "approve", "watch", "deletecollection", "*"),
	}
	if g.IntN(4) == 0 {
		a.Path = g.pick("/metrics", "/api", "/api/", "/api/v1", "/healthz/etcd", "/")
		return a
	}
	a.IsResource = true
	a.Group, a.Resource, a.Subresource = g.pick("", "apps", "batch"), g.pick("pods", "deployments", "nodes"), g.pick("", "", "log", "scale")
	a.Namespace, a.Name = g.pick("", "n1", "n2"), g.pick("", "a", "b", "c")
	return a
}

func newWorld() *world {
	return &world{
		map[string]*rbacv1.ClusterRole{}, map[string]*rbacv1.Role{},
		map[string]*rbacv1.ClusterRoleBinding{}, map[string]*rbacv1.RoleBinding{},
	}
}

// The index agrees with the obvious authorizer after any sequence of events.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		g := gen{rand.New(rand.NewPCG(seed, 7))}
		w, x := newWorld(), New()
		yes := 0
		for step := range 150 {
			g.change(w, x)
			for range 20 {
				a := g.question()
				want := w.allows(a)
				d, reason, err := x.Authorize(t.Context(), a)
				if err != nil || (d == auth.Allow) != want || d == auth.Deny {
					t.Fatalf("seed %d step %d: %+v (user %+v): got %v %q %v, want allowed=%v", seed, step, a, a.User, d, reason, err, want)
				}
				if want {
					yes++
				}
			}
		}
		if yes == 0 {
			t.Errorf("seed %d allowed nothing", seed)
		}
		// Nothing is left behind when all is gone.
		for _, o := range w.clusterBindings {
			x.Delete(o)
		}
		for _, o := range w.bindings {
			x.Delete(o)
		}
		for _, o := range w.clusterRoles {
			x.Delete(o)
		}
		for _, o := range w.roles {
			x.Delete(o)
		}
		if len(x.roles) != 0 || len(x.bindings) != 0 {
			t.Fatalf("seed %d: %d roles and %d bindings left", seed, len(x.roles), len(x.bindings))
		}
		for i := range x.shards {
			if n := len(*x.shards[i].Load()); n != 0 {
				t.Fatalf("seed %d: %d subjects left", seed, n)
			}
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	x := New()
	x.Set(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "view"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}})
	x.Set(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "sa"}},
	})
	x.Set(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "c"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "gone"},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: "u"}},
	})
	tests := []struct {
		user, want string
		d          auth.Decision
	}{
		{"system:serviceaccount:n:sa", `RBAC: allowed by RoleBinding "b/n" of ClusterRole "view" to ServiceAccount "sa/n"`, auth.Allow},
		{"u", `RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found`, auth.NoOpinion},
		{"x", "", auth.NoOpinion},
	}
	for _, test := range tests {
		d, reason, err := x.Authorize(t.Context(), &auth.Attributes{
			User: &auth.User{Name: test.user}, Verb: "get", IsResource: true, Resource: "pods", Namespace: "n",
		})
		if d != test.d || reason != test.want || err != nil {
			t.Errorf("%s: %v %q %v", test.user, d, reason, err)
		}
	}
}

func TestConfirmNoEscalation(t *testing.T) {
	t.Parallel()
	x := New()
	rule := func(verbs, resources string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), APIGroups: []string{""}, Resources: strings.Fields(resources)}
	}
	x.Set(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{rule("get list", "pods")}})
	x.Set(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "root"}, Rules: everything()})
	for _, b := range []struct{ user, role string }{{"r", "reader"}, {"root", "root"}} {
		x.Set(&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: b.user}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: b.role},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: b.user}},
		})
	}
	r := &auth.User{Name: "r", Groups: []string{"g"}}
	if err := x.ConfirmNoEscalation(r, "n", []rbacv1.PolicyRule{rule("get", "pods")}); err != nil {
		t.Error(err)
	}
	err := x.ConfirmNoEscalation(r, "n", []rbacv1.PolicyRule{rule("get watch delete", "pods secrets")})
	want := "user \"r\" (groups=[\"g\"]) is attempting to grant RBAC permissions not currently held:\n" +
		"{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"watch\" \"delete\"]}\n" +
		"{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"watch\" \"delete\"]}"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := x.ConfirmBinding(r, "n", rbacv1.RoleRef{Kind: "Role", Name: "none"}); !RoleNotFound(err) {
		t.Errorf("got %v", err)
	}
	if x.ConfirmAggregation(r) == nil || x.ConfirmAggregation(&auth.User{Name: "root"}) != nil {
		t.Error("aggregation")
	}
}

func TestAggregate(t *testing.T) {
	t.Parallel()
	role := func(name, label string, verb string) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"to": label}},
			Rules:      []rbacv1.PolicyRule{{Verbs: []string{verb}}},
		}
	}
	whole := role("m", "x", "old")
	whole.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{"to": "x"}}, {MatchLabels: map[string]string{"to": "y"}},
	}}
	rules, err := Aggregate(whole, []*rbacv1.ClusterRole{role("z", "y", "c"), role("b", "x", "b"), role("a", "x", "a"), whole, role("c", "x", "b"), role("q", "q", "q")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		got = append(got, r.Verbs...)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	x := New()
	for i := range 200 {
		ns := fmt.Sprintf("ns-%d", i)
		x.Set(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "r"}, Rules: []rbacv1.PolicyRule{
			{Verbs: []string{"get", "list"}, APIGroups: []string{"apps"}, Resources: []string{"deployments", "replicasets"}},
			{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{""}, Resources: []string{"configmaps", "pods", "pods/log"}},
		}})
		x.Set(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "r"}, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "sa"}}})
	}
	a := &auth.Attributes{
		User: &auth.User{Name: "system:serviceaccount:ns-7:sa", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ns-7", "system:authenticated"}},
		Verb: "get", IsResource: true, Resource: "pods", Subresource: "log", Namespace: "ns-7", Name: "x",
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if d, _, _ := x.Authorize(ctx, a); d != auth.Allow {
			b.Fatal("denied")
		}
	}
}

// The answer to a request costs no allocation; this holds the benchmark's
// promise in every test run.
func TestAuthorizeDoesNotAllocate(t *testing.T) {
	x := New()
	x.Set(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}})
	x.Set(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "r"}, Subjects: []rbacv1.Subject{{Kind: "Group", Name: "g"}}})
	a := &auth.Attributes{User: &auth.User{Name: "u", Groups: []string{"g"}}, Verb: "get", IsResource: true, Resource: "pods", Namespace: "n"}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _, _ = x.Authorize(ctx, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
