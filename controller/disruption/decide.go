package disruption

import (
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/component-helpers/apps/poddisruptionbudget"

	"proa/controller/podstate"
)

// deletionTimeout is how long an eviction that was allowed may take to show as
// a deletion, and a condition DisruptionTarget to be followed by one.
const deletionTimeout = 2 * time.Minute

// plan is what one reconcile has to write.
type plan struct {
	// budget has the status to be written, or is nil where it stands already.
	budget *policyv1.PodDisruptionBudget
	// undeleted were to be evicted long ago and are still there.
	undeleted []*v1.Pod
	// again is when time alone will change the answer, zero for never.
	again time.Duration
}

// proportional reports whether a budget is relative to what the owners of its
// pods ask for.
func proportional(b *policyv1.PodDisruptionBudget) bool {
	return b.Spec.MaxUnavailable != nil || b.Spec.MinAvailable != nil && b.Spec.MinAvailable.Type == intstr.String
}

// decide counts the pods that a budget selects. asked is what their owners ask
// for together; it is used where the budget is proportional to it.
func decide(b *policyv1.PodDisruptionBudget, pods []*v1.Pod, asked int32, now time.Time) (plan, error) {
	expected, desired, err := wanted(b, int32(len(pods)), asked)
	if err != nil {
		return plan{}, err
	}
	var p plan
	disrupted := map[string]metav1.Time{}
	healthy := int32(0)
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if since, ok := b.Status.DisruptedPods[pod.Name]; ok {
			if wait := since.Add(deletionTimeout).Sub(now); wait >= 0 {
				disrupted[pod.Name] = since
				if p.again == 0 || wait < p.again {
					// A little later, so that it has passed.
					p.again = wait + time.Millisecond
				}
				continue
			}
			p.undeleted = append(p.undeleted, pod)
		}
		if podstate.Ready(pod) {
			healthy++
		}
	}
	allowed := max(0, healthy-desired)
	if expected <= 0 {
		// Pods that appear now have not been counted yet.
		allowed = 0
	}
	next := b.DeepCopy()
	next.Status = policyv1.PodDisruptionBudgetStatus{
		CurrentHealthy: healthy, DesiredHealthy: desired, ExpectedPods: expected, DisruptionsAllowed: allowed,
		DisruptedPods: disrupted, ObservedGeneration: b.Generation, Conditions: next.Status.Conditions,
	}
	if !current(b, &next.Status) {
		poddisruptionbudget.UpdateDisruptionAllowedCondition(next)
		p.budget = next
	}
	return p, nil
}

// wanted returns how many pods there should be, and how many of them healthy.
func wanted(b *policyv1.PodDisruptionBudget, selected, asked int32) (expected, desired int32, err error) {
	switch {
	case b.Spec.MaxUnavailable != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(b.Spec.MaxUnavailable, int(asked), true)
		return asked, max(0, asked-int32(n)), err
	case b.Spec.MinAvailable == nil:
		return 0, 0, nil
	case b.Spec.MinAvailable.Type == intstr.Int:
		return selected, b.Spec.MinAvailable.IntVal, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(b.Spec.MinAvailable, int(asked), true)
	return asked, int32(n), err
}

// current reports whether a status says what was counted, conditions included.
func current(b *policyv1.PodDisruptionBudget, s *policyv1.PodDisruptionBudgetStatus) bool {
	if len(b.Status.DisruptedPods) != len(s.DisruptedPods) {
		return false
	}
	for name := range s.DisruptedPods {
		if _, ok := b.Status.DisruptedPods[name]; !ok {
			return false
		}
	}
	return b.Status.CurrentHealthy == s.CurrentHealthy && b.Status.DesiredHealthy == s.DesiredHealthy &&
		b.Status.ExpectedPods == s.ExpectedPods && b.Status.DisruptionsAllowed == s.DisruptionsAllowed &&
		b.Status.ObservedGeneration == s.ObservedGeneration && poddisruptionbudget.ConditionsAreUpToDate(b)
}

// failed is the budget after a count that was not possible: it allows nothing.
// It is nil where the status says so already.
func failed(b *policyv1.PodDisruptionBudget, why error) *policyv1.PodDisruptionBudget {
	next := b.DeepCopy()
	next.Status.DisruptionsAllowed = 0
	changed := meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
		Message: why.Error(), ObservedGeneration: b.Status.ObservedGeneration,
	})
	if !changed && b.Status.DisruptionsAllowed == 0 {
		return nil
	}
	return next
}

// owners are the controllers of pods, each once, and how many pods have none.
func owners(pods []*v1.Pod) (refs []*metav1.OwnerReference, unmanaged int) {
	seen := map[string]bool{}
	for _, p := range pods {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref == nil {
			unmanaged++
		} else if uid := string(ref.UID); !seen[uid] {
			seen[uid] = true
			refs = append(refs, ref)
		}
	}
	return refs, unmanaged
}

// stale returns how long the condition DisruptionTarget of a pod may still
// stand before it is withdrawn. One that a node has set stands for as long as
// the pod takes to end.
func stale(p *v1.Pod, now time.Time) (wait time.Duration, has bool) {
	c := podstate.Condition(p, v1.DisruptionTarget)
	if p.DeletionTimestamp != nil || podstate.Finished(p) || c == nil || c.Status != v1.ConditionTrue || c.Reason == v1.PodReasonTerminationByKubelet {
		return 0, false
	}
	return max(0, c.LastTransitionTime.Add(deletionTimeout).Sub(now)), true
}
