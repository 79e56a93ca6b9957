package history

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
)

// Finished tells whether a pod holds nothing of its node any more.
func Finished(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// Crowded says how the pods that are bound to a node ask for more than it has, or
// "". Finished ones do not count.
func Crowded(n *v1.Node, bound []*v1.Pod) string {
	var cpu, memory, count int64
	for _, p := range bound {
		if Finished(p) {
			continue
		}
		count++
		for i := range p.Spec.Containers {
			r := p.Spec.Containers[i].Resources.Requests
			cpu += r.Cpu().MilliValue()
			memory += r.Memory().Value()
		}
	}
	have := n.Status.Allocatable
	if cpu > have.Cpu().MilliValue() || memory > have.Memory().Value() || count > have.Pods().Value() {
		return fmt.Sprintf("%d pods ask for %d m CPU and %d bytes", count, cpu, memory)
	}
	return ""
}
