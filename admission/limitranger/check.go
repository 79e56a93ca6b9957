package limitranger

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
)

// checkPod holds a pod, and each of its containers, against a range.
func checkPod(r *corev1.LimitRange, pod *corev1.Pod) []error {
	var errs []error
	for i := range r.Spec.Limits {
		l := &r.Spec.Limits[i]
		switch l.Type {
		case corev1.LimitTypeContainer:
			for j := range pod.Spec.Containers {
				errs = append(errs, check(l, &pod.Spec.Containers[j].Resources)...)
			}
			for j := range pod.Spec.InitContainers {
				errs = append(errs, check(l, &pod.Spec.InitContainers[j].Resources)...)
			}
		case corev1.LimitTypePod:
			errs = append(errs, check(l, &corev1.ResourceRequirements{
				Requests: helpers.PodRequests(pod, helpers.PodResourcesOptions{}),
				Limits:   helpers.PodLimits(pod, helpers.PodResourcesOptions{}),
			})...)
		}
	}
	return errs
}

// checkClaim holds a claim against a range. A claim has no limits that matter.
func checkClaim(r *corev1.LimitRange, c *corev1.PersistentVolumeClaim) []error {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for i := range r.Spec.Limits {
		l := &r.Spec.Limits[i]
		if l.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		for _, k := range names(l.Min) {
			note(atLeast(l.Type, k, l.Min[k], c.Spec.Resources.Requests, nil))
		}
		for _, k := range names(l.Max) {
			note(requestAtMost(l.Type, k, l.Max[k], c.Spec.Resources.Requests))
		}
	}
	return errs
}

func check(l *corev1.LimitRangeItem, has *corev1.ResourceRequirements) []error {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, k := range names(l.Min) {
		note(atLeast(l.Type, k, l.Min[k], has.Requests, has.Limits))
	}
	for _, k := range names(l.Max) {
		note(atMost(l.Type, k, l.Max[k], has.Requests, has.Limits))
	}
	for _, k := range names(l.MaxLimitRequestRatio) {
		note(ratioAtMost(l.Type, k, l.MaxLimitRequestRatio[k], has.Requests, has.Limits))
	}
	return errs
}

func names(l corev1.ResourceList) []corev1.ResourceName { return slices.Sorted(maps.Keys(l)) }

func atLeast(t corev1.LimitType, name corev1.ResourceName, min resource.Quantity, requests, limits corev1.ResourceList) error {
	req, requested := requests[name]
	lim, limited := limits[name]
	switch {
	case !requested:
		return fmt.Errorf("minimum %s usage per %s is %s.  No request is specified", name, t, min.String())
	case req.Cmp(min) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but request is %s", name, t, min.String(), req.String())
	case limited && lim.Cmp(min) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but limit is %s", name, t, min.String(), lim.String())
	}
	return nil
}

func atMost(t corev1.LimitType, name corev1.ResourceName, max resource.Quantity, requests, limits corev1.ResourceList) error {
	req, requested := requests[name]
	lim, limited := limits[name]
	switch {
	case !limited:
		return fmt.Errorf("maximum %s usage per %s is %s.  No limit is specified", name, t, max.String())
	case lim.Cmp(max) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but limit is %s", name, t, max.String(), lim.String())
	case requested && req.Cmp(max) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, t, max.String(), req.String())
	}
	return nil
}

func requestAtMost(t corev1.LimitType, name corev1.ResourceName, max resource.Quantity, requests corev1.ResourceList) error {
	req, requested := requests[name]
	switch {
	case !requested:
		return fmt.Errorf("maximum %s usage per %s is %s.  No request is specified", name, t, max.String())
	case req.Cmp(max) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, t, max.String(), req.String())
	}
	return nil
}

func ratioAtMost(t corev1.LimitType, name corev1.ResourceName, max resource.Quantity, requests, limits corev1.ResourceList) error {
	req, requested := requests[name]
	lim, limited := limits[name]
	switch {
	case !requested || req.IsZero():
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no request is specified or request is 0", name, t, max.String())
	case !limited || lim.IsZero():
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no limit is specified or limit is 0", name, t, max.String())
	}
	if ratio := lim.AsApproximateFloat64() / req.AsApproximateFloat64(); ratio > max.AsApproximateFloat64() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but provided ratio is %f", name, t, max.String(), ratio)
	}
	return nil
}
