package builtin_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/admission"
	"proa/admission/builtin"
	"proa/admission/priority"
	"proa/apiserver/apitest"
	"proa/auth"
	"proa/auth/rbac"
	"proa/auth/source"
	"proa/resource/core"
)

func TestDisabled(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	c := builtin.Config{Table: env.Table, Hub: env.Hub, Policy: rbac.New(), Authorizer: rbac.New(), Clock: clock.RealClock{}}
	all, err := builtin.Chain(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Disabled = []string{"PodSecurity", "Priority"}
	some, err := builtin.Chain(c)
	if err != nil || len(some) != len(all)-2 {
		t.Errorf("%d of %d plugins, %v", len(some), len(all), err)
	}
	c.Disabled = []string{"RBACEscalation"}
	if _, err := builtin.Chain(c); err == nil {
		t.Error("the escalation check can be left out")
	}
}

// BenchmarkPod is what admission costs for each new pod of an ordinary
// namespace.
func BenchmarkPod(b *testing.B) {
	env := apitest.Start(b)
	ctx := b.Context()
	for _, c := range priority.System() {
		if _, err := env.Admin.SchedulingV1().PriorityClasses().Create(ctx, c, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := env.Admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	x := rbac.New()
	chain, err := builtin.Chain(builtin.Config{
		Table: env.Table, Hub: env.Hub, Objects: source.New(env.Hub, env.Table.View()), Policy: x, Authorizer: x, Clock: clock.RealClock{},
		ChargeQuota: func(ctx context.Context, q *corev1.ResourceQuota) (*corev1.ResourceQuota, error) {
			return env.Admin.CoreV1().ResourceQuotas(q.Namespace).UpdateStatus(ctx, q, metav1.UpdateOptions{})
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	def := core.Pod()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	user := &auth.User{Name: "u", Groups: []string{auth.GroupAuthenticated}}
	b.ReportAllocs()
	for b.Loop() {
		a := &admission.Attributes{Operation: admission.Create, Definition: def, Namespace: "default", Name: "p", Object: pod.DeepCopy(), User: user, Warn: func(string) {}}
		if err := chain.Mutate(ctx, a); err != nil {
			b.Fatal(err)
		}
		if err := chain.Validate(ctx, a); err != nil {
			b.Fatal(err)
		}
	}
}
