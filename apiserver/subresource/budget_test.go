package subresource

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPriceOf(t *testing.T) {
	t.Parallel()
	always, healthy := policyv1.AlwaysAllow, policyv1.IfHealthyBudget
	budget := func(policy *policyv1.UnhealthyPodEvictionPolicyType, current, desired int32) *policyv1.PodDisruptionBudget {
		return &policyv1.PodDisruptionBudget{
			Spec:   policyv1.PodDisruptionBudgetSpec{UnhealthyPodEvictionPolicy: policy},
			Status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: current, DesiredHealthy: desired},
		}
	}
	pod := func(phase corev1.PodPhase, ready, deleted bool) *corev1.Pod {
		p := &corev1.Pod{Status: corev1.PodStatus{Phase: phase}}
		if ready {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		if deleted {
			p.DeletionTimestamp = &metav1.Time{}
		}
		return p
	}
	for name, c := range map[string]struct {
		pod    *corev1.Pod
		budget *policyv1.PodDisruptionBudget
		want   price
	}{
		"no budget":                           {pod(corev1.PodRunning, true, false), nil, free},
		"ready":                               {pod(corev1.PodRunning, true, false), budget(nil, 3, 1), one},
		"finished":                            {pod(corev1.PodFailed, false, false), budget(nil, 0, 1), free},
		"on its way out":                      {pod(corev1.PodRunning, true, true), budget(nil, 0, 1), free},
		"pending":                             {pod(corev1.PodPending, false, false), nil, freeUnready},
		"unready, always":                     {pod(corev1.PodRunning, false, false), budget(&always, 0, 1), freeUnready},
		"unready, all is well":                {pod(corev1.PodRunning, false, false), budget(&healthy, 1, 1), freeUnready},
		"unready, disrupted":                  {pod(corev1.PodRunning, false, false), budget(&healthy, 0, 1), one},
		"unready, by default as if disrupted": {pod(corev1.PodRunning, false, false), budget(nil, 0, 1), one},
		"unready, nothing is wanted":          {pod(corev1.PodRunning, false, false), budget(nil, 0, 0), one},
	} {
		if got := priceOf(c.pod, c.budget); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestSpend(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Unix(1000, 0))
	condition := func(reason, message string) []metav1.Condition {
		return []metav1.Condition{{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: reason, Message: message}}
	}
	many := map[string]metav1.Time{}
	for i := range maxDisrupted + 1 {
		many[strings.Repeat("a", i+1)] = now
	}
	for name, c := range map[string]struct {
		status policyv1.PodDisruptionBudgetStatus
		code   int32
		retry  int32
		want   string
	}{
		"unseen":     {policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1}, 429, 10, "The disruption budget b is still being processed by the server."},
		"negative":   {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, DisruptionsAllowed: -1}, 403, 0, "pdb disruptions allowed is negative"},
		"too many":   {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, DisruptionsAllowed: 1, DisruptedPods: many}, 403, 0, "too many evictions not confirmed"},
		"needed":     {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, CurrentHealthy: 1, DesiredHealthy: 2}, 429, 0, "The disruption budget b needs 2 healthy pods and has 1 currently"},
		"no numbers": {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, Conditions: condition(policyv1.SyncFailedReason, "no scale")}, 429, 0, "because it failed sync: no scale"},
		"said":       {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, CurrentHealthy: 3, DesiredHealthy: 2, Conditions: condition("Other", "not now")}, 429, 0, "does not allow evicting pods currently (Other): not now"},
		"unsaid":     {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, CurrentHealthy: 3, DesiredHealthy: 2}, 429, 0, "The disruption budget b does not allow evicting pods currently"},
	} {
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", Generation: 2}, Status: c.status}
		_, err := spend(b, "p", now)
		status, ok := err.(apierrors.APIStatus)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := status.Status()
		text := s.Message
		for _, cause := range s.Details.Causes {
			text += cause.Message
			if cause.Type != policyv1.DisruptionBudgetCause {
				t.Errorf("%s: cause %s", name, cause.Type)
			}
		}
		if s.Code != c.code || s.Details.RetryAfterSeconds != c.retry || !strings.Contains(text, c.want) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1}}
	after, err := spend(b, "p", now)
	if err != nil || after.Status.DisruptionsAllowed != 0 || after.Status.DisruptedPods["p"] != now || b.Status.DisruptionsAllowed != 1 || b.Status.DisruptedPods != nil {
		t.Errorf("%+v, of %+v, %v", after, b, err)
	}
	if c := after.Status.Conditions; len(c) != 1 || c[0].Status != metav1.ConditionFalse || c[0].Reason != policyv1.InsufficientPodsReason {
		t.Errorf("%+v", c)
	}
}
