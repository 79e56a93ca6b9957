package subresource_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
)

// TestBudgetsAreKept: an eviction spends what the budget has, and is refused
// where it has nothing. Nothing is spent by a dry run, nor for a pod that
// disrupts nobody.
func TestBudgetsAreKept(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	pods, budgets := env.Admin.CoreV1().Pods("default"), env.Admin.PolicyV1().PodDisruptionBudgets("default")
	make := func(name string, phase corev1.PodPhase) {
		t.Helper()
		p, err := pods.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}, Finalizers: []string{"example.org/hold"}},
			Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Status.Phase = phase
		if phase == corev1.PodRunning {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		if _, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b", "dry"} {
		make(name, corev1.PodRunning)
	}
	make("done", corev1.PodSucceeded)
	make("waits", corev1.PodPending)
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: policyv1.PodDisruptionBudgetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	}}
	b, err := budgets.Create(ctx, b, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	evict := func(name string, o *metav1.DeleteOptions) error {
		// The client would wait and ask again, as it is told to.
		return env.Admin.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name(name).SubResource("eviction").MaxRetries(0).
			Body(&policyv1.Eviction{TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"}, ObjectMeta: metav1.ObjectMeta{Name: name}, DeleteOptions: o}).
			Do(ctx).Error()
	}
	refused := func(err error, want string) {
		t.Helper()
		status, ok := err.(apierrors.APIStatus)
		if !ok || status.Status().Code != 429 || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) || !strings.Contains(status.Status().Details.Causes[0].Message, want) {
			t.Errorf("%+v", err)
		}
	}
	refused(evict("a", nil), "The disruption budget web is still being processed by the server.")
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, DisruptionsAllowed: 1, CurrentHealthy: 3, DesiredHealthy: 2}
	if b, err = budgets.UpdateStatus(ctx, b, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := evict("dry", &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"done", "waits", "a"} {
		if err := evict(name, nil); err != nil {
			t.Error(name, err)
		}
		p, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err != nil || p.DeletionTimestamp == nil {
			t.Errorf("%s was not deleted: %v", name, err)
		}
	}
	b, err = budgets.Get(ctx, "web", metav1.GetOptions{})
	if err != nil || b.Status.DisruptionsAllowed != 0 || len(b.Status.DisruptedPods) != 1 || b.Status.DisruptedPods["a"].Time.IsZero() {
		t.Errorf("%+v %v", b, err)
	}
	refused(evict("b", nil), "The disruption budget web does not allow evicting pods currently")
	// The pod that goes already may be evicted again.
	if err := evict("a", nil); err != nil {
		t.Error(err)
	}
	if _, err := budgets.Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "second"}, Spec: b.Spec}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := evict("b", nil); err == nil || !strings.Contains(err.Error(), "more than one PodDisruptionBudget") {
		t.Error(err)
	}
}
