package scheduler

import (
	"cmp"
	"math"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// preemption makes room for a pod: the victims leave the node.
type preemption struct {
	node    string
	victims []*v1.Pod
}

// What is told of nodes where no pods would be evicted, in upstream's words.
const (
	notHelpful = "Preemption is not helpful for scheduling"
	noVictims  = "No preemption victims found for incoming pod"

	neverPreempts = "not eligible due to preemptionPolicy=Never."
	stillLeaving  = "not eligible due to a terminating pod on the nominated node."
)

// Of how many nodes the victims are worked out: a tenth, and no fewer than
// minCandidates. Upstream's defaults.
const (
	minCandidates   = 100
	candidatesShare = 10
)

// ineligible tells why a pod may not preempt others, or "". nominated is the node
// that it has made room on before, if any, and curable whether that node could
// take it still.
func ineligible(pod *v1.Pod, nominated *node, curable bool) string {
	if p := pod.Spec.PreemptionPolicy; p != nil && *p == v1.PreemptNever {
		return neverPreempts
	}
	if nominated == nil || !curable {
		return ""
	}
	for _, p := range nominated.pods {
		if p.pod.DeletionTimestamp != nil && priorityOf(p.pod) < priorityOf(pod) && wasPreempted(p.pod) {
			return stillLeaving
		}
	}
	return ""
}

func wasPreempted(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == v1.PodReasonPreemptionByScheduler
	})
}

// preempt finds the node where making room does the least harm, or tells why there
// is none. It changes the state while it tries, and leaves it as it was.
func (d *decider) preempt(pod *v1.Pod, s *shape, curable []int, state *nodes, budgets []*policyv1.PodDisruptionBudget) (*preemption, string) {
	count := reasonCount{}
	if n := state.ready - len(curable); n > 0 {
		count[notHelpful] = n
	}
	if !state.hasBelow(priorityOf(pod)) {
		if len(curable) > 0 {
			count[noVictims] = len(curable)
		}
		return nil, count.message(state.ready)
	}
	most := max(minCandidates, state.ready/candidatesShare)
	var candidates []*candidate
	// Nodes take turns at being looked at first.
	start := 0
	if len(curable) > 0 {
		start = d.random.IntN(len(curable))
	}
	for k := range curable {
		if len(candidates) >= most {
			break
		}
		slot := curable[(start+k)%len(curable)]
		c, reasons := d.victims(pod, s, slot, state, budgets)
		if c != nil {
			candidates = append(candidates, c)
		}
		count.add(reasons...)
	}
	if len(candidates) == 0 {
		return nil, count.message(state.ready)
	}
	best := slices.MinFunc(candidates, (*candidate).compare)
	return &preemption{node: best.node, victims: best.pods()}, ""
}

// hasBelow tells whether any placed pod has a lower priority.
func (s *nodes) hasBelow(priority int32) bool {
	for p := range s.priorities {
		if p < priority {
			return true
		}
	}
	return false
}

// candidate is a node with those who would have to leave it, the most important
// first.
type candidate struct {
	node     string
	victims  []*placed
	violates int // disruption budgets
}

func (c *candidate) pods() []*v1.Pod {
	var out []*v1.Pod
	for _, p := range c.victims {
		out = append(out, p.pod)
	}
	return out
}

// compare orders by harm: budgets violated, the highest priority of a victim, the
// sum of priorities, the number of victims; then the node is preferred where the
// most important victims have run for the shortest time.
func (c *candidate) compare(o *candidate) int {
	return cmp.Or(
		cmp.Compare(c.violates, o.violates),
		cmp.Compare(priorityOf(c.victims[0].pod), priorityOf(o.victims[0].pod)),
		cmp.Compare(c.sum(), o.sum()),
		cmp.Compare(len(c.victims), len(o.victims)),
		o.started().Compare(c.started()),
	)
}

// sum of priorities, made positive so that more victims are more harm.
func (c *candidate) sum() (n int64) {
	for _, p := range c.victims {
		n += int64(priorityOf(p.pod)) + math.MaxInt32 + 1
	}
	return n
}

// started is when the first of the most important victims began.
func (c *candidate) started() time.Time {
	first := startOf(c.victims[0].pod)
	for _, p := range c.victims[1:] {
		if priorityOf(p.pod) == priorityOf(c.victims[0].pod) && startOf(p.pod).Before(first) {
			first = startOf(p.pod)
		}
	}
	return first
}

// startOf is when a pod began, or the end of time for one that has not.
func startOf(pod *v1.Pod) time.Time {
	if pod.Status.StartTime == nil {
		return time.Unix(math.MaxInt32, 0)
	}
	return pod.Status.StartTime.Time
}

// victims are the fewest pods of lower priority that have to leave a node for a pod,
// those spared first that are protected by a budget, then the most important. nil
// where even all of them would not make room.
func (d *decider) victims(pod *v1.Pod, s *shape, slot int, state *nodes, budgets []*policyv1.PodDisruptionBudget) (*candidate, []string) {
	n := state.slots[slot]
	var lower []*placed
	for _, p := range n.pods {
		if priorityOf(p.pod) < priorityOf(pod) {
			lower = append(lower, p)
		}
	}
	if len(lower) == 0 {
		return nil, []string{noVictims}
	}
	for _, p := range lower {
		state.lift(p)
	}
	if reasons := d.refusals(pod, s, slot, state); len(reasons) > 0 {
		for _, p := range lower {
			state.put(p)
		}
		return nil, reasons
	}
	slices.SortFunc(lower, byImportance)
	protected, free := split(lower, budgets)
	c := &candidate{node: n.api.Name}
	for i, p := range append(protected, free...) {
		state.put(p)
		if len(d.refusals(pod, s, slot, state)) == 0 {
			continue
		}
		state.lift(p)
		c.victims = append(c.victims, p)
		if i < len(protected) {
			c.violates++
		}
	}
	for _, p := range c.victims {
		state.put(p)
	}
	if len(c.victims) == 0 {
		return nil, []string{noVictims} // it has become possible without
	}
	slices.SortFunc(c.victims, byImportance)
	return c, nil
}

// refusals are the reasons why a pod cannot go to a slot as things stand.
func (d *decider) refusals(pod *v1.Pod, s *shape, slot int, state *nodes) []string {
	if by, reasons := d.refusedBy(s, state.slots[slot]); by >= 0 {
		return reasons
	}
	r, err := relationOf(s, pod, state)
	if err != nil {
		return []string{err.Error()}
	}
	if x := refuse(d.views(s, r, state), slot); x.reason != "" {
		return []string{x.reason}
	}
	return nil
}

// byImportance puts the higher priority first, then who began earlier.
func byImportance(a, b *placed) int {
	return cmp.Or(cmp.Compare(priorityOf(b.pod), priorityOf(a.pod)), startOf(a.pod).Compare(startOf(b.pod)), cmp.Compare(a.pod.UID, b.pod.UID))
}

// split tells those whose eviction would violate a budget from the others, in
// order, if all of them were evicted. Pure.
func split(pods []*placed, budgets []*policyv1.PodDisruptionBudget) (protected, free []*placed) {
	left := make([]int32, len(budgets))
	for i, b := range budgets {
		left[i] = b.Status.DisruptionsAllowed
	}
	for _, p := range pods {
		violates := false
		for i, b := range budgets {
			if !covers(b, p.pod) {
				continue
			}
			left[i]--
			violates = violates || left[i] < 0
		}
		if violates {
			protected = append(protected, p)
		} else {
			free = append(free, p)
		}
	}
	return protected, free
}

// covers tells whether a budget counts the eviction of a pod. One that is disrupted
// already has been counted.
func covers(b *policyv1.PodDisruptionBudget, pod *v1.Pod) bool {
	if b.Namespace != pod.Namespace || len(pod.Labels) == 0 {
		return false
	}
	if _, gone := b.Status.DisruptedPods[pod.Name]; gone {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels))
}
