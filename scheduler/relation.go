package scheduler

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

// relation is what a pod and the placed pods mean to each other. Most pods have
// none.
type relation struct {
	pod *v1.Pod // who is to be placed
	affinities
	// together are the pods that all required terms name.
	together selection
	spread   []spreadRule
	// naming are terms of placed pods that name the pod.
	naming []*carrier

	// counted says by slot whether the node counts for a spread rule. It is true
	// of the nodes at generation seen.
	counted []inclusion
	seen    uint64
}

// inclusion says which policies let a node count.
type inclusion struct {
	generation       uint64
	affinity, taints bool
}

// maxRelations bounds what a shape remembers of its pods' relations.
const maxRelations = 32

// relationOf returns the relation of a pod with a shape, or nil.
func relationOf(s *shape, pod *v1.Pod, state *nodes) (*relation, error) {
	var naming []*carrier
	if len(state.tallies.carried) > 0 {
		naming = state.tallies.naming(pod)
	}
	if !hasAffinities(pod) && len(pod.Spec.TopologySpreadConstraints) == 0 {
		if len(naming) == 0 {
			return nil, nil
		}
		return &relation{pod: pod, naming: naming}, nil
	}
	key, err := relationKey(pod)
	if err != nil {
		return nil, err
	}
	r := s.relations[key]
	if r == nil {
		if r, err = ownRelation(pod); err != nil {
			return nil, err
		}
		if s.relations == nil || len(s.relations) >= maxRelations {
			s.relations = map[string]*relation{}
		}
		s.relations[key] = r
	}
	r.pod, r.naming = pod, naming
	return r, nil
}

// relationKey is the same for pods whose own part of the relation is: the
// encoding of just those fields that ownRelation reads.
func relationKey(pod *v1.Pod) (string, error) {
	reduced := v1.Pod{}
	reduced.Namespace, reduced.Labels = pod.Namespace, pod.Labels
	reduced.Spec.TopologySpreadConstraints = pod.Spec.TopologySpreadConstraints
	if a := pod.Spec.Affinity; a != nil {
		reduced.Spec.Affinity = &v1.Affinity{PodAffinity: a.PodAffinity, PodAntiAffinity: a.PodAntiAffinity}
	}
	b, err := reduced.Marshal()
	if err != nil {
		return "", fmt.Errorf("relation of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return string(b), nil
}

func ownRelation(pod *v1.Pod) (*relation, error) {
	a, err := affinitiesOf(pod)
	if err != nil {
		return nil, err
	}
	r := &relation{affinities: a}
	r.together = allOf(a.required)
	if r.spread, err = spreadRules(pod); err != nil {
		return nil, err
	}
	return r, nil
}

// inclusion tells whether a slot's node counts for rules by the pod's node
// affinity and by its tolerations.
func (r *relation) inclusions(s *shape, state *nodes) []inclusion {
	if r.seen == state.generation && len(r.counted) == len(state.slots) {
		return r.counted
	}
	if grow := len(state.slots) - len(r.counted); grow > 0 {
		r.counted = append(r.counted, make([]inclusion, grow)...)
	}
	if changed, known := state.since(r.seen); known && r.seen > 0 {
		for _, i := range changed {
			r.include(s, state, i)
		}
	} else {
		for i := range state.slots {
			r.include(s, state, i)
		}
	}
	r.seen = state.generation
	return r.counted
}

func (r *relation) include(s *shape, state *nodes, i int) {
	n := state.slots[i]
	if r.counted[i].generation == n.generation {
		return
	}
	x := inclusion{generation: n.generation}
	if n.api != nil {
		fits, err := s.required.Match(n.api)
		x.affinity = fits && err == nil
		_, bad := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), n.api.Spec.Taints, s.tolerations, repelling, true)
		x.taints = !bad
	}
	r.counted[i] = x
}

// repelling are the taints that keep pods off.
func repelling(t *v1.Taint) bool {
	return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
}
