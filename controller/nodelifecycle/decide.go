package nodelifecycle

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultGracePeriod is how long a node may be silent before it counts as lost,
// unless another time is given. It is upstream's.
const DefaultGracePeriod = 50 * time.Second

// startupGracePeriod is that of a node that has never said anything.
const startupGracePeriod = 60 * time.Second

// health is the last sign of life of a node.
type health struct {
	renewed   metav1.MicroTime // as the lease says
	heartbeat metav1.Time      // as the status says
	seen      time.Time        // when the later of the two was seen, on this machine's clock
}

// plan is what one look at a node leads to.
type plan struct {
	// conditions to be written, nil where they are right.
	conditions []v1.NodeCondition
	// schedule are the NoSchedule taints that should be; execute the NoExecute
	// one, or nil.
	schedule []v1.Taint
	execute  *v1.Taint
	// again is when the lease will have run out.
	again time.Duration
}

func decide(n *v1.Node, h health, gracePeriod time.Duration, now time.Time) plan {
	p := plan{again: h.seen.Add(gracePeriod).Sub(now)}
	conditions := n.Status.Conditions
	if condition(conditions, v1.NodeReady) == nil {
		p.again = h.seen.Add(max(startupGracePeriod, gracePeriod)).Sub(now)
	}
	if p.again <= 0 {
		p.again = 0
		conditions = unknown(conditions, n.CreationTimestamp, metav1.NewTime(now))
		if !slices.Equal(conditions, n.Status.Conditions) {
			p.conditions = conditions
		}
	}
	p.schedule = scheduleTaints(n, conditions)
	p.execute = executeTaint(conditions)
	return p
}

// observed conditions become unknown when their node falls silent.
var observed = []v1.NodeConditionType{v1.NodeReady, v1.NodeMemoryPressure, v1.NodeDiskPressure, v1.NodePIDPressure}

func unknown(was []v1.NodeCondition, created, now metav1.Time) []v1.NodeCondition {
	out := slices.Clone(was)
	for _, t := range observed {
		c := condition(out, t)
		switch {
		case c == nil:
			out = append(out, v1.NodeCondition{
				Type: t, Status: v1.ConditionUnknown, Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: created, LastTransitionTime: now,
			})
		case c.Status != v1.ConditionUnknown:
			c.Status, c.Reason, c.Message, c.LastTransitionTime = v1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", now
		}
	}
	return out
}

func condition(list []v1.NodeCondition, t v1.NodeConditionType) *v1.NodeCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

// byCondition maps conditions to the taints that stand for them.
var byCondition = []struct {
	condition v1.NodeConditionType
	status    v1.ConditionStatus
	taint     string
}{
	{v1.NodeReady, v1.ConditionFalse, v1.TaintNodeNotReady},
	{v1.NodeReady, v1.ConditionUnknown, v1.TaintNodeUnreachable},
	{v1.NodeMemoryPressure, v1.ConditionTrue, v1.TaintNodeMemoryPressure},
	{v1.NodeDiskPressure, v1.ConditionTrue, v1.TaintNodeDiskPressure},
	{v1.NodeNetworkUnavailable, v1.ConditionTrue, v1.TaintNodeNetworkUnavailable},
	{v1.NodePIDPressure, v1.ConditionTrue, v1.TaintNodePIDPressure},
}

func scheduleTaints(n *v1.Node, conditions []v1.NodeCondition) (out []v1.Taint) {
	for _, x := range byCondition {
		if c := condition(conditions, x.condition); c != nil && c.Status == x.status {
			out = append(out, v1.Taint{Key: x.taint, Effect: v1.TaintEffectNoSchedule})
		}
	}
	if n.Spec.Unschedulable {
		out = append(out, v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule})
	}
	return out
}

func executeTaint(conditions []v1.NodeCondition) *v1.Taint {
	c := condition(conditions, v1.NodeReady)
	switch {
	case c == nil, c.Status == v1.ConditionTrue:
		return nil
	case c.Status == v1.ConditionUnknown:
		return &v1.Taint{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoExecute}
	}
	return &v1.Taint{Key: v1.TaintNodeNotReady, Effect: v1.TaintEffectNoExecute}
}

// ours are the taints that this controller sets and removes.
func ours(t *v1.Taint) bool {
	switch t.Key {
	case v1.TaintNodeNotReady, v1.TaintNodeUnreachable:
		return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
	case v1.TaintNodeMemoryPressure, v1.TaintNodeDiskPressure, v1.TaintNodePIDPressure, v1.TaintNodeNetworkUnavailable, v1.TaintNodeUnschedulable:
		return t.Effect == v1.TaintEffectNoSchedule
	}
	return false
}

// taints returns the node's taints with ours as they should be, and whether
// that differs. evict says whether a new NoExecute taint may be set; one that
// is there stays while it is right.
func taints(n *v1.Node, p plan, evict bool, now metav1.Time) ([]v1.Taint, bool) {
	want := slices.Clone(p.schedule)
	if p.execute != nil && (evict || has(n.Spec.Taints, p.execute)) {
		want = append(want, *p.execute)
	}
	var out []v1.Taint
	changed := false
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		if ours(t) && !has(want, t) {
			changed = true
			continue
		}
		out = append(out, *t)
	}
	for i := range want {
		if !has(out, &want[i]) {
			changed = true
			t := want[i]
			t.TimeAdded = &now
			out = append(out, t)
		}
	}
	return out, changed
}

func has(list []v1.Taint, t *v1.Taint) bool {
	return slices.ContainsFunc(list, func(o v1.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect })
}
