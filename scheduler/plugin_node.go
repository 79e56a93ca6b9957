package scheduler

import (
	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

// nodeUnschedulable refuses cordoned nodes, unless the pod tolerates the taint
// that stands for it.
type nodeUnschedulable struct{}

func (nodeUnschedulable) Name() string { return "NodeUnschedulable" }

func (nodeUnschedulable) Refuse(s *shape, n *node) []string {
	if !n.api.Spec.Unschedulable {
		return nil
	}
	taint := v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}
	if corev1helpers.TolerationsTolerateTaint(klog.Background(), s.tolerations, &taint, true) {
		return nil
	}
	return []string{"node(s) were unschedulable"}
}

func (nodeUnschedulable) Curable(*shape, *node) bool { return false }

func (nodeUnschedulable) Wakes(c Change) bool {
	return c.NodeAdded || c.NodeSchedulable || c.NodeTaints
}

// nodeName refuses all but the node that the pod names.
type nodeName struct{}

func (nodeName) Name() string { return "NodeName" }

func (nodeName) Refuse(s *shape, n *node) []string {
	if s.nodeName == "" || s.nodeName == n.api.Name {
		return nil
	}
	return []string{"node(s) didn't match the requested node name"}
}

func (nodeName) Curable(*shape, *node) bool { return false }

func (nodeName) Wakes(c Change) bool { return c.NodeAdded }

// taintToleration refuses nodes with taints that the pod does not tolerate,
// and prefers nodes with few PreferNoSchedule taints of that kind.
type taintToleration struct{}

func (taintToleration) Name() string { return "TaintToleration" }

func (taintToleration) Refuse(s *shape, n *node) []string {
	if _, found := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), n.api.Spec.Taints, s.tolerations, repelling, true); !found {
		return nil
	}
	return []string{"node(s) had untolerated taint(s)"}
}

func (taintToleration) Curable(*shape, *node) bool { return false }

func (taintToleration) Wakes(c Change) bool { return c.NodeAdded || c.NodeTaints }

func (taintToleration) Weight() int64 { return 3 }

func (taintToleration) Score(s *shape, n *node) int64 {
	var count int64
	for i := range n.api.Spec.Taints {
		t := &n.api.Spec.Taints[i]
		if t.Effect == v1.TaintEffectPreferNoSchedule && !corev1helpers.TolerationsTolerateTaint(klog.Background(), s.tolerations, t, true) {
			count++
		}
	}
	return count
}

func (taintToleration) Relative() bool { return true }

// Normalize reverses the score: fewer taints are better.
func (taintToleration) Normalize(raw, largest int64) int64 {
	if largest == 0 {
		return maxScore
	}
	return maxScore - maxScore*raw/largest
}

// nodeAffinity refuses nodes that the node selector or the required node
// affinity excludes, and prefers those that the preferred one names.
type nodeAffinity struct{}

func (nodeAffinity) Name() string { return "NodeAffinity" }

func (nodeAffinity) Refuse(s *shape, n *node) []string {
	if ok, err := s.required.Match(n.api); ok && err == nil {
		return nil
	}
	return []string{"node(s) didn't match Pod's node affinity/selector"}
}

func (nodeAffinity) Curable(*shape, *node) bool { return false }

func (nodeAffinity) Wakes(c Change) bool { return c.NodeAdded || c.NodeLabels }

func (nodeAffinity) Weight() int64 { return 2 }

func (nodeAffinity) Score(s *shape, n *node) int64 {
	if s.preferred == nil {
		return 0
	}
	return s.preferred.Score(n.api)
}

func (nodeAffinity) Relative() bool { return true }

func (nodeAffinity) Normalize(raw, largest int64) int64 {
	if largest == 0 {
		return 0
	}
	return maxScore * raw / largest
}
