package scheduler

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// shape is all that plugins read of a pod, and what they said of each node.
// Pods with the same constraints and requests have the same shape.
type shape struct {
	key string

	nodeName    string
	required    nodeaffinity.RequiredNodeAffinity
	preferred   *nodeaffinity.PreferredSchedulingTerms
	tolerations []v1.Toleration
	ports       []hostPort
	request     amounts
	scored      amounts
	images      []string

	verdicts []verdict         // by slot
	scores   []int64           // by slot: the final score, or refused
	largest  [maxScorers]int64 // raw score among the nodes that fit
	seen     uint64            // generation of the nodes that this is true of
	// relations of its pods to others, by relationKey.
	relations map[string]*relation
	used      uint64 // the decision that last used it, for eviction
}

// verdict is what the plugins said of one node at one generation.
type verdict struct {
	generation uint64
	// refusedBy is the index of the filter that refused, -1 for none.
	refusedBy int8
	reasons   []string
	raw       [maxScorers]int64
}

const maxScorers = 8

// refused stands for the score of a node that takes no pod of the shape.
const refused int64 = -1

// shapeOf computes the shape of a pod. It fails on a pod that validation
// should have refused.
func shapeOf(pod *v1.Pod) (*shape, error) {
	s := &shape{
		nodeName:    pod.Spec.NodeName,
		required:    nodeaffinity.GetRequiredNodeAffinity(pod),
		tolerations: pod.Spec.Tolerations,
		ports:       hostPorts(&pod.Spec),
	}
	s.request, s.scored = requestOf(pod)
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 {
		p, err := nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		if err != nil {
			return nil, fmt.Errorf("node affinity of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		s.preferred = p
	}
	for i := range pod.Spec.Containers {
		s.images = append(s.images, normalImage(pod.Spec.Containers[i].Image))
	}
	return s, nil
}

// shapeKey is equal for pods of equal shape: the encoding of just those fields
// that shapeOf reads.
func shapeKey(pod *v1.Pod) (string, error) {
	spec := v1.PodSpec{
		NodeName: pod.Spec.NodeName, NodeSelector: pod.Spec.NodeSelector, Tolerations: pod.Spec.Tolerations,
		Overhead: pod.Spec.Overhead, Resources: pod.Spec.Resources, HostNetwork: pod.Spec.HostNetwork,
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		spec.Affinity = &v1.Affinity{NodeAffinity: a.NodeAffinity}
	}
	reduce := func(list []v1.Container) []v1.Container {
		out := make([]v1.Container, len(list))
		for i := range list {
			out[i] = v1.Container{Image: list[i].Image, Resources: list[i].Resources, Ports: list[i].Ports, RestartPolicy: list[i].RestartPolicy}
		}
		return out
	}
	spec.Containers, spec.InitContainers = reduce(pod.Spec.Containers), reduce(pod.Spec.InitContainers)
	b, err := spec.Marshal()
	if err != nil {
		return "", fmt.Errorf("shape of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return string(b), nil
}

// shapes remembers shapes, up to a bound.
type shapes struct {
	byKey map[string]*shape
	clock uint64
}

// maxShapes bounds the memory of shapes: the least recently used goes.
const maxShapes = 256

func (c *shapes) of(pod *v1.Pod) (*shape, error) {
	key, err := shapeKey(pod)
	if err != nil {
		return nil, err
	}
	c.clock++
	s := c.byKey[key]
	if s == nil {
		if s, err = shapeOf(pod); err != nil {
			return nil, err
		}
		s.key = key
		if len(c.byKey) >= maxShapes {
			c.evict()
		}
		c.byKey[key] = s
	}
	s.used = c.clock
	return s, nil
}

func (c *shapes) evict() {
	var oldest *shape
	for _, s := range c.byKey {
		if oldest == nil || s.used < oldest.used {
			oldest = s
		}
	}
	delete(c.byKey, oldest.key)
}
