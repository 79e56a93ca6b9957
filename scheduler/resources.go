package scheduler

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
)

// amounts counts resources: CPU in thousandths of a core, everything else in
// its base unit.
type amounts struct {
	cpu, memory, ephemeral int64
	// other holds extended resources and huge pages.
	other map[v1.ResourceName]int64
}

// What a container that asks for nothing counts for when nodes are scored, so
// that such pods spread too: upstream's numbers.
const (
	defaultCPU    = 100               // thousandths of a core
	defaultMemory = 200 * 1024 * 1024 // bytes
)

func amountsOf(list v1.ResourceList) amounts {
	var a amounts
	for name, q := range list {
		switch name {
		case v1.ResourceCPU:
			a.cpu = q.MilliValue()
		case v1.ResourceMemory:
			a.memory = q.Value()
		case v1.ResourceEphemeralStorage:
			a.ephemeral = q.Value()
		case v1.ResourcePods:
		default:
			if a.other == nil {
				a.other = map[v1.ResourceName]int64{}
			}
			a.other[name] = q.Value()
		}
	}
	return a
}

// requestOf is what the pod reserves on a node: the largest of its init
// containers and the sum of its others, with overhead, and what it has been
// allocated already where that is more.
func requestOf(pod *v1.Pod) (request, scored amounts) {
	request = amountsOf(helpers.PodRequests(pod, helpers.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	}))
	scored = amountsOf(helpers.PodRequests(pod, helpers.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
		NonMissingContainerRequests: v1.ResourceList{
			v1.ResourceCPU:    *resource.NewMilliQuantity(defaultCPU, resource.DecimalSI),
			v1.ResourceMemory: *resource.NewQuantity(defaultMemory, resource.BinarySI),
		},
	}))
	return request, scored
}

func (a *amounts) add(b *amounts, sign int64) {
	a.cpu += sign * b.cpu
	a.memory += sign * b.memory
	a.ephemeral += sign * b.ephemeral
	for name, n := range b.other {
		if a.other == nil {
			a.other = map[v1.ResourceName]int64{}
		}
		a.other[name] += sign * n
	}
}
