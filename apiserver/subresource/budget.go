package subresource

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/component-helpers/apps/poddisruptionbudget"
)

// maxDisrupted is how many evictions of one budget may wait for the controller
// to see them.
const maxDisrupted = 2000

// price is what the eviction of a pod costs.
type price int

const (
	// free: no budget is asked.
	free price = iota
	// freeUnready: no budget is asked as long as the pod is not ready.
	freeUnready
	// one disruption of the budget.
	one
)

// priceOf says what it costs to evict a pod under its budget, of which there
// may be none. A pod that does not run yet, or no more, disrupts nobody.
func priceOf(pod *corev1.Pod, b *policyv1.PodDisruptionBudget) price {
	switch {
	case finished(pod):
		return free
	case pod.Status.Phase == corev1.PodPending:
		return freeUnready
	case b == nil:
		return free
	case ready(pod):
		return one
	}
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return freeUnready
	}
	if b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0 {
		return freeUnready
	}
	return one
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.DeletionTimestamp != nil
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// spend returns the budget with one disruption less, and the pod noted as the
// one that is about to go: the controller does not count it as healthy even
// before its deletion is seen. b is not changed.
func spend(b *policyv1.PodDisruptionBudget, pod string, now metav1.Time) (*policyv1.PodDisruptionBudget, error) {
	resource := schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudget"}
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return nil, stillProcessed(b.Name)
	case b.Status.DisruptionsAllowed < 0:
		return nil, apierrors.NewForbidden(resource, b.Name, errors.New("pdb disruptions allowed is negative"))
	case len(b.Status.DisruptedPods) > maxDisrupted:
		return nil, apierrors.NewForbidden(resource, b.Name, errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller")) //nolint:staticcheck // upstream's words
	case b.Status.DisruptionsAllowed == 0:
		return nil, wouldViolate(b)
	}
	b = b.DeepCopy()
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		poddisruptionbudget.UpdateDisruptionAllowedCondition(b)
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[pod] = now
	return b, nil
}

// refusal is the 429 by which clients know that they may ask again later.
func refusal(cause string, retrySeconds int) *apierrors.StatusError {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retrySeconds)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: cause})
	return err
}

func stillProcessed(budget string) error {
	return refusal(fmt.Sprintf("The disruption budget %s is still being processed by the server.", budget), 10)
}

func wouldViolate(b *policyv1.PodDisruptionBudget) error {
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	says := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case says && c.Reason == policyv1.SyncFailedReason: // the numbers are not to be trusted then
		return refusal(fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s", b.Name, c.Message), 0)
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return refusal(fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy), 0)
	case says:
		return refusal(fmt.Sprintf("The disruption budget %s does not allow evicting pods currently (%s): %s", b.Name, c.Reason, c.Message), 0)
	}
	return refusal(fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Name), 0)
}

// covers reports whether a budget is about a pod of its namespace.
func covers(b *policyv1.PodDisruptionBudget, pod *corev1.Pod) bool {
	s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && s.Matches(labels.Set(pod.Labels))
}
