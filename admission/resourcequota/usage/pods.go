package usage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
)

const (
	requestsPrefix = corev1.DefaultResourceRequestsPrefix
	limitsPrefix   = "limits."
)

// ofPods reports whether a quota of this name limits pods.
func ofPods(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage:
		return true
	case corev1.ResourceRequestsStorage:
		return false
	}
	s := string(name)
	if strings.HasPrefix(s, corev1.ResourceHugePagesPrefix) || strings.HasPrefix(s, requestsPrefix+corev1.ResourceHugePagesPrefix) {
		return true
	}
	// Extended resources are counted by what is requested.
	rest, ok := strings.CutPrefix(s, requestsPrefix)
	return ok && extended(corev1.ResourceName(rest))
}

func extended(name corev1.ResourceName) bool {
	domain, _, ok := strings.Cut(string(name), "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// ofPod adds what a pod uses while it has not ended; the object itself counts
// on.
func ofPod(used corev1.ResourceList, p *corev1.Pod, now time.Time) {
	if ended(p, now) {
		return
	}
	used[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	o := helpers.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true}
	requests, limits := helpers.PodRequests(p, o), helpers.PodLimits(p, o)
	addNames(used, requests, limits)
}

// addNames adds requests and limits under the names that quotas have for them.
func addNames(used, requests, limits corev1.ResourceList) {
	for k, v := range requests {
		switch {
		case k == corev1.ResourceCPU, k == corev1.ResourceMemory, k == corev1.ResourceEphemeralStorage,
			strings.HasPrefix(string(k), corev1.ResourceHugePagesPrefix):
			used[k] = v
			used[requestsPrefix+k] = v
		case extended(k):
			used[requestsPrefix+k] = v
		}
	}
	for _, k := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if v, ok := limits[k]; ok {
			used[limitsPrefix+k] = v
		}
	}
}

// ended reports whether a pod uses nothing any more: it has terminated, or it
// should have long ago (its node may be gone).
func ended(p *corev1.Pod, now time.Time) bool {
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return true
	}
	if p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil {
		return now.After(p.DeletionTimestamp.Add(time.Duration(*p.DeletionGracePeriodSeconds) * time.Second))
	}
	return false
}

// Missing says what the containers of a pod leave out of what the quota's
// names demand of each, or returns nil. A pod that does not say what it uses
// cannot be counted.
func Missing(names []corev1.ResourceName, p *corev1.Pod) error {
	if helpers.IsPodLevelResourcesSet(p) {
		return nil
	}
	missing := map[corev1.ResourceName][]string{}
	look := func(list []corev1.Container) {
		for i := range list {
			has := corev1.ResourceList{}
			addNames(has, list[i].Resources.Requests, list[i].Resources.Limits)
			for _, n := range names {
				if _, ok := has[n]; !ok && perContainer(n) {
					missing[n] = append(missing[n], list[i].Name)
				}
			}
		}
	}
	look(p.Spec.Containers)
	look(p.Spec.InitContainers)
	if len(missing) == 0 {
		return nil
	}
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(missing)) {
		slices.Sort(missing[n])
		parts = append(parts, fmt.Sprintf("%s for: %s", n, strings.Join(slices.Compact(missing[n]), ",")))
	}
	return fmt.Errorf("must specify %s", strings.Join(parts, "; "))
}

// perContainer are the names that every container must say a word about.
func perContainer(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory:
		return true
	}
	return false
}
