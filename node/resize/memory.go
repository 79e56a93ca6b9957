package resize

import (
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

func requests(p *v1.Pod) v1.ResourceList {
	return resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})
}

// Usage is how much memory is in use, in bytes.
type Usage struct {
	Pod uint64
	// Containers by name.
	Containers map[string]uint64
}

// Lowered returns the names of the running containers whose memory limit would
// become less than it is, or become one, and whether the same holds for the pod.
// before is the pod as its cgroup is.
func (g Granted) Lowered(before, granted *v1.Pod, running []string) (names []string, whole bool) {
	for _, name := range running {
		c := find(granted, name)
		now, known := g.Containers[name]
		if c == nil || !known {
			continue
		}
		if less(effective(granted.Spec.Resources, c.Resources).Limits, effective(g.Pod, now).Limits) {
			names = append(names, name)
		}
	}
	return names, less(limits(granted), limits(before))
}

func less(a, b v1.ResourceList) bool {
	now, then := a[v1.ResourceMemory], b[v1.ResourceMemory]
	return !now.IsZero() && (then.IsZero() || now.Cmp(then) < 0)
}

// limits are those of the pod together, if they bound it: if each container has
// one, or the pod itself.
func limits(p *v1.Pod) v1.ResourceList {
	sum := resourcehelper.PodLimits(p, resourcehelper.PodResourcesOptions{})
	if p.Spec.Resources != nil && !zero(p.Spec.Resources.Limits, v1.ResourceMemory) {
		return sum
	}
	for c := range containers(p) {
		if zero(c.Resources.Limits, v1.ResourceMemory) {
			return nil
		}
	}
	return sum
}

// TooSmall says which memory limits are below what is in use, which would end the
// container, or nil. The wording is upstream's.
func TooSmall(granted *v1.Pod, lowered []string, whole bool, u Usage) error {
	var errs []error
	if limit := limits(granted)[v1.ResourceMemory]; whole && u.Pod >= uint64(limit.Value()) {
		errs = append(errs, fmt.Errorf("attempting to set pod memory limit (%d) below current usage (%d)", limit.Value(), u.Pod))
	}
	for _, name := range lowered {
		c := find(granted, name)
		limit := effective(granted.Spec.Resources, c.Resources).Limits[v1.ResourceMemory]
		if used := u.Containers[name]; used >= uint64(limit.Value()) {
			errs = append(errs, fmt.Errorf("attempting to set container %q memory limit (%d) below current usage (%d)", name, limit.Value(), used))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("cannot decrease memory limits: %w", errors.Join(errs...))
}
