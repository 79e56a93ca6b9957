package cgroup

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// QOS is the pod's quality of service class: what its status says, or else
// what follows from requests and limits of cpu and memory.
func QOS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	return ComputeQOS(pod)
}

// ComputeQOS is the class by the spec alone. Where the pod as a whole has
// requests or limits, those decide; otherwise all containers together do,
// ephemeral ones apart.
func ComputeQOS(pod *corev1.Pod) corev1.PodQOSClass {
	requests, limits := map[corev1.ResourceName]resource.Quantity{}, map[corev1.ResourceName]resource.Quantity{}
	guaranteed := true
	add := func(r *corev1.ResourceRequirements) {
		sum(requests, r.Requests)
		if sum(limits, r.Limits) != 2 {
			guaranteed = false
		}
	}
	if r := pod.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		add(r)
	} else {
		for i := range pod.Spec.InitContainers {
			add(&pod.Spec.InitContainers[i].Resources)
		}
		for i := range pod.Spec.Containers {
			add(&pod.Spec.Containers[i].Resources)
		}
	}
	if len(requests) == 0 && len(limits) == 0 {
		return corev1.PodQOSBestEffort
	}
	if guaranteed {
		for name, r := range requests {
			if l, ok := limits[name]; !ok || l.Cmp(r) != 0 {
				guaranteed = false
			}
		}
		if guaranteed && len(requests) == len(limits) {
			return corev1.PodQOSGuaranteed
		}
	}
	return corev1.PodQOSBurstable
}

// sum adds the non-zero amounts of cpu and memory and says how many there are.
func sum(to map[corev1.ResourceName]resource.Quantity, list corev1.ResourceList) (n int) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		q, ok := list[name]
		if !ok || q.Sign() <= 0 {
			continue
		}
		n++
		s := to[name]
		s.Add(q)
		to[name] = s
	}
	return n
}
