package replicaset

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"proa/controller/podstate"
)

// burst is how many pods one reconcile makes or removes at the most.
const burst = 500

// plan is what one reconcile has to do about the number of pods.
type plan struct {
	create int
	remove []*v1.Pod
	status status
	// again is when time alone will make a pod available, zero for never.
	again time.Duration
}

// status is what is observed, of either kind.
type status struct {
	replicas, fullyLabeled, ready, available, terminating int32
}

// decide counts the owned pods and says what is to be done. While earlier
// changes have not been seen (settled is false) it only counts. peers are all
// pods of sets with the same owner, which removal takes into account to spread
// what remains.
func decide(s *set, pods, peers []*v1.Pod, settled bool, now time.Time) plan {
	var p plan
	var active []*v1.Pod
	template := labels.Set(s.templateLabels).AsSelectorPreValidated()
	for _, pod := range pods {
		if podstate.Finished(pod) {
			continue
		}
		if pod.DeletionTimestamp != nil {
			p.status.terminating++
			continue
		}
		active = append(active, pod)
		if template.Matches(labels.Set(pod.Labels)) {
			p.status.fullyLabeled++
		}
		if !podstate.Ready(pod) {
			continue
		}
		p.status.ready++
		if wait := podstate.AvailableIn(pod, s.minReady, now); wait == 0 {
			p.status.available++
		} else if p.again == 0 || wait < p.again {
			p.again = wait
		}
	}
	p.status.replicas = int32(len(active))
	if !settled || s.deleting {
		return p
	}
	switch diff := len(active) - int(s.replicas); {
	case diff < 0:
		p.create = min(-diff, burst)
	case diff > 0:
		p.remove = first(active, peers, min(diff, burst), now)
	}
	return p
}

// first returns the n pods whose loss hurts least: those that do not run yet
// before those that do, not ready before ready, cheap before dear (by the
// pod-deletion-cost annotation), crowded nodes before empty ones, and those
// that have been ready for a short time, have restarted often or are young
// before the others.
func first(pods, peers []*v1.Pod, n int, now time.Time) []*v1.Pod {
	if n >= len(pods) {
		return pods
	}
	crowd := map[string]int{}
	for _, p := range peers {
		if !podstate.Finished(p) && p.DeletionTimestamp == nil {
			crowd[p.Spec.NodeName]++
		}
	}
	sorted := slices.Clone(pods)
	slices.SortStableFunc(sorted, func(a, b *v1.Pod) int {
		ra, rb := podstate.Ready(a), podstate.Ready(b)
		order := cmp.Or(
			falseFirst(a.Spec.NodeName != "", b.Spec.NodeName != ""),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			falseFirst(ra, rb),
			cmp.Compare(deletionCost(a), deletionCost(b)),
			cmp.Compare(crowd[b.Spec.NodeName], crowd[a.Spec.NodeName]),
		)
		if sa, sb := podstate.ReadySince(a), podstate.ReadySince(b); order == 0 && ra && rb && !sa.Equal(&sb) {
			// Ready for about the same time: any of them, and not always the
			// one that has restarted most.
			order = cmp.Or(compareAge(sa, sb, now), cmp.Compare(a.UID, b.UID))
		}
		return cmp.Or(order,
			cmp.Compare(restarts(b), restarts(a)),
			compareAge(a.CreationTimestamp, b.CreationTimestamp, now),
			cmp.Compare(a.UID, b.UID))
	})
	return sorted[:n]
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func phaseRank(p *v1.Pod) int {
	switch p.Status.Phase {
	case v1.PodPending:
		return 0
	case v1.PodUnknown:
		return 1
	}
	return 2
}

func deletionCost(p *v1.Pod) int32 {
	n, err := strconv.ParseInt(p.Annotations[v1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

func restarts(p *v1.Pod) (n int32) {
	for i := range p.Status.ContainerStatuses {
		n = max(n, p.Status.ContainerStatuses[i].RestartCount)
	}
	return n
}

// compareAge puts the younger first, by the order of magnitude of their ages:
// among pods of about the same age the choice should not always hit the
// youngest.
func compareAge(a, b metav1.Time, now time.Time) int {
	rank := func(t metav1.Time) int {
		if t.IsZero() {
			return -1
		}
		d := now.Sub(t.Time)
		if d <= 0 {
			return -1
		}
		return int(math.Log2(float64(d)))
	}
	return cmp.Compare(rank(a), rank(b))
}
