package daemonset

import (
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// fit says how a daemon and a node go together.
type fit int

const (
	// no: no pod is to be there.
	no fit = iota
	// stays: a pod that is there may stay, but none is to be made.
	stays
	// runs: a pod is to be there.
	runs
)

// matcher says for which nodes a template is. It is made once per decision.
type matcher struct {
	nodeName    string
	affinity    nodeaffinity.RequiredNodeAffinity
	tolerations []v1.Toleration
}

func newMatcher(ds *appsv1.DaemonSet) matcher {
	spec := &ds.Spec.Template.Spec
	return matcher{
		nodeName:    spec.NodeName,
		affinity:    nodeaffinity.GetRequiredNodeAffinity(&v1.Pod{Spec: *spec}),
		tolerations: withTolerations(spec.Tolerations, spec.HostNetwork),
	}
}

func (m matcher) fit(n *v1.Node) fit {
	if m.nodeName != "" && m.nodeName != n.Name {
		return no
	}
	// A term that cannot be read matches nothing.
	if ok, _ := m.affinity.Match(n); !ok {
		return no
	}
	switch {
	case m.tolerates(n, v1.TaintEffectNoExecute, v1.TaintEffectNoSchedule):
		return runs
	case m.tolerates(n, v1.TaintEffectNoExecute):
		return stays
	}
	return no
}

func (m matcher) tolerates(n *v1.Node, effects ...v1.TaintEffect) bool {
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, m.tolerations, func(t *v1.Taint) bool {
		for _, e := range effects {
			if t.Effect == e {
				return true
			}
		}
		return false
	}, false)
	return !untolerated
}

// withTolerations adds what every daemon tolerates: a node that is in trouble
// needs its daemons, and they are not evicted for it.
func withTolerations(own []v1.Toleration, hostNetwork bool) []v1.Toleration {
	all := append([]v1.Toleration(nil), own...)
	add := func(key string, effect v1.TaintEffect) {
		t := v1.Toleration{Key: key, Operator: v1.TolerationOpExists, Effect: effect}
		for i := range all {
			if all[i].MatchToleration(&t) {
				all[i] = t
				return
			}
		}
		all = append(all, t)
	}
	add(v1.TaintNodeNotReady, v1.TaintEffectNoExecute)
	add(v1.TaintNodeUnreachable, v1.TaintEffectNoExecute)
	add(v1.TaintNodeDiskPressure, v1.TaintEffectNoSchedule)
	add(v1.TaintNodeMemoryPressure, v1.TaintEffectNoSchedule)
	add(v1.TaintNodePIDPressure, v1.TaintEffectNoSchedule)
	add(v1.TaintNodeUnschedulable, v1.TaintEffectNoSchedule)
	if hostNetwork {
		add(v1.TaintNodeNetworkUnavailable, v1.TaintEffectNoSchedule)
	}
	return all
}

// pin keeps a pod to one node. An affinity that the template requires is
// replaced: the node has been matched against it.
func pin(a *v1.Affinity, node string) *v1.Affinity {
	if a = a.DeepCopy(); a == nil {
		a = &v1.Affinity{}
	}
	if a.NodeAffinity == nil {
		a.NodeAffinity = &v1.NodeAffinity{}
	}
	a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
		MatchFields: []v1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: v1.NodeSelectorOpIn, Values: []string{node}}},
	}}}
	return a
}

// target is the node that a pod is on or is kept to, or "".
func target(p *v1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range t.MatchFields {
			if f.Key == metav1.ObjectNameField && f.Operator == v1.NodeSelectorOpIn && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}
