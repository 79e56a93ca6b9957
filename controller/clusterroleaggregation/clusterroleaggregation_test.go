package clusterroleaggregation

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller"
)

func role(name, label, verb string) *rbacv1.ClusterRole {
	r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"to": label}}}
	if verb != "" {
		r.Rules = []rbacv1.PolicyRule{{Verbs: []string{verb}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	}
	return r
}

func whole(name, from, label string) *rbacv1.ClusterRole {
	r := role(name, label, "")
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"to": from}}}}
	return r
}

func verbs(r *rbacv1.ClusterRole) []string {
	var v []string
	for _, rule := range r.Rules {
		v = append(v, rule.Verbs...)
	}
	return v
}

func TestDecide(t *testing.T) {
	t.Parallel()
	w := whole("w", "x", "")
	all := []*rbacv1.ClusterRole{w, role("b", "x", "list"), role("a", "x", "get"), role("c", "y", "delete")}
	got, err := decide(w, all)
	if err != nil || !slices.Equal(verbs(got), []string{"get", "list"}) || len(w.Rules) != 0 {
		t.Fatalf("%v %v", got, err)
	}
	if again, err := decide(got, all); again != nil || err != nil {
		t.Errorf("the second time: %v %v", again, err)
	}
	if got, err = decide(got, []*rbacv1.ClusterRole{w}); err != nil || len(got.Rules) != 0 {
		t.Errorf("none left: %v %v", got, err)
	}
}

// The rules of a role reach, through one that is aggregated itself, the whole;
// and leave it with their label.
func TestController(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	roles := env.Admin.RbacV1().ClusterRoles()
	for _, r := range []*rbacv1.ClusterRole{whole("admin", "admin", ""), whole("edit", "edit", "admin"), role("part", "edit", "get")} {
		if _, err := roles.Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	factory := informers.NewSharedInformerFactory(env.Admin, 0)
	c, err := newController(controller.Env{Client: env.Admin, Informers: factory, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	factory.Start(ctx.Done())
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; factory.Shutdown() })
	wait := func(want ...string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			r, err := roles.Get(t.Context(), "admin", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if slices.Equal(verbs(r), want) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("got %v, want %v", verbs(r), want)
			}
		}
	}
	wait("get")
	if _, err := roles.Create(t.Context(), role("more", "edit", "list"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait("list", "get")
	part, err := roles.Get(t.Context(), "part", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part.Labels = nil
	if _, err := roles.Update(t.Context(), part, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait("list")
}
