package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// QOSClass is the class of service that a pod gets from the resources that it
// asks for: Guaranteed where every container's limits of cpu and memory are
// set and equal its requests, BestEffort where none asks for any, else
// Burstable. Resources set for the pod as a whole take the place of those of
// its containers.
func QOSClass(pod *corev1.Pod) corev1.PodQOSClass {
	var requests, limits corev1.ResourceList
	guaranteed := true
	if resourcehelper.IsPodLevelResourcesSet(pod) {
		requests, limits = addQOS(nil, pod.Spec.Resources.Requests), addQOS(nil, pod.Spec.Resources.Limits)
		guaranteed = hasBoth(limits)
	} else {
		each := func(cs []corev1.Container) {
			for i := range cs {
				r := &cs[i].Resources
				requests = addQOS(requests, r.Requests)
				limits = addQOS(limits, r.Limits)
				guaranteed = guaranteed && hasBoth(positive(r.Limits))
			}
		}
		each(pod.Spec.InitContainers)
		each(pod.Spec.Containers)
	}
	if len(requests) == 0 && len(limits) == 0 {
		return corev1.PodQOSBestEffort
	}
	if guaranteed && len(requests) == len(limits) {
		for name, r := range requests {
			if l, ok := limits[name]; !ok || l.Cmp(r) != 0 {
				return corev1.PodQOSBurstable
			}
		}
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// addQOS adds up what decides the class: cpu and memory above zero.
func addQOS(sum, l corev1.ResourceList) corev1.ResourceList {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		q, ok := l[name]
		if !ok || q.Sign() <= 0 {
			continue
		}
		if sum == nil {
			sum = corev1.ResourceList{}
		}
		var total resource.Quantity
		if was, ok := sum[name]; ok {
			total = was.DeepCopy()
		}
		total.Add(q)
		sum[name] = total
	}
	return sum
}

func positive(l corev1.ResourceList) corev1.ResourceList { return addQOS(nil, l) }

func hasBoth(l corev1.ResourceList) bool {
	_, cpu := l[corev1.ResourceCPU]
	_, memory := l[corev1.ResourceMemory]
	return cpu && memory
}
