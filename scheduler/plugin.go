package scheduler

import v1 "k8s.io/api/core/v1"

// Filter refuses nodes that a pod cannot run on.
type Filter interface {
	// Refuse returns why the pod cannot run on the node, in upstream's words,
	// or nothing. It depends on the shape and the node alone.
	Refuse(s *shape, n *node) []string
	// Curable reports whether a refusal may turn into a pass when pods leave the
	// node.
	Curable(s *shape, n *node) bool
	waker
}

// waker is a plugin that pods wait for which it has refused.
type waker interface {
	// Name is upstream's name of the plugin.
	Name() string
	// Wakes reports whether the change may turn a refusal into a pass.
	Wakes(c Change) bool
}

// Related looks at the pods of all nodes. It is asked about those that every
// [Filter] lets pass, and only for pods that have a relation to others.
type Related interface {
	waker
	// Weight is upstream's default weight of the plugin.
	Weight() int64
	// view looks at all nodes for one pod; nil where the plugin has nothing to
	// say about it.
	view(s *shape, r *relation, state *nodes) view
}

// view is what a related plugin says of the nodes for one pod.
type view interface {
	// refuse returns why the pod cannot go to a slot, in upstream's words, or "";
	// and whether that may change when pods leave the node.
	refuse(slot int) (reason string, curable bool)
	// scores rates the slots that remain, from 0 to maxScore; nil where all are
	// equal.
	scores(slots []int) []int64
}

// Scorer rates the nodes that passed all filters.
type Scorer interface {
	Name() string
	// Weight is upstream's default weight of the plugin.
	Weight() int64
	// Score returns a raw score; it depends on the shape and the node alone.
	Score(s *shape, n *node) int64
	// Normalize brings a raw score to 0…maxScore, given the largest raw score
	// among the nodes that are compared.
	Normalize(raw, largest int64) int64
	// Relative reports whether Normalize depends on the largest raw score.
	Relative() bool
}

// maxScore of a normalized score.
const maxScore = 100

// Change is something that happened in the cluster and may let a pod fit.
type Change struct {
	// NodeAdded, or a change of what it offers, its labels, its taints or its
	// being schedulable.
	NodeAdded, NodeAllocatable, NodeLabels, NodeTaints, NodeSchedulable bool
	// NodeRemoved: the others may be even without it.
	NodeRemoved bool
	// PodRemoved: a pod has left a node, or asks for less. PodPlaced: one has
	// come to a node, or has other labels.
	PodRemoved, PodPlaced bool
	// NamespaceLabels of a namespace are others.
	NamespaceLabels bool
}

func (c Change) any() bool { return c != Change{} }

// nodeChange tells what of a node has changed for the better or otherwise.
func nodeChange(old, obj *v1.Node) Change {
	if old == nil {
		return Change{NodeAdded: true}
	}
	return Change{
		NodeAllocatable: !sameQuantities(old.Status.Allocatable, obj.Status.Allocatable),
		NodeLabels:      !sameStrings(old.Labels, obj.Labels),
		NodeTaints:      !sameTaints(old.Spec.Taints, obj.Spec.Taints),
		NodeSchedulable: old.Spec.Unschedulable && !obj.Spec.Unschedulable,
	}
}

func sameQuantities(a, b v1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		p, ok := b[name]
		if !ok || q.Cmp(p) != 0 {
			return false
		}
	}
	return true
}

func sameStrings(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func sameTaints(a, b []v1.Taint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || a[i].Value != b[i].Value || a[i].Effect != b[i].Effect {
			return false
		}
	}
	return true
}

// related plugins in upstream's order, after all filters.
func relatedPlugins() []Related { return []Related{topologySpread{}, interPodAffinity{}} }

// filters in the order in which they are asked: the first refusal of a node is
// the one that is told, so this order is upstream's too.
func filters() []Filter {
	return []Filter{nodeUnschedulable{}, nodeName{}, taintToleration{}, nodeAffinity{}, nodePorts{}, nodeResourcesFit{}}
}

func scorers() []Scorer {
	return []Scorer{taintToleration{}, nodeAffinity{}, nodeResourcesFit{}, balancedAllocation{}, imageLocality{}}
}
