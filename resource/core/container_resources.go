package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"

	"proa/resource/check"
)

func (p *podContext) resources(r *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	errs := check.Requirements(r, check.ContainerResourceName, p.opts.AnyHugePages, at)
	return append(errs, p.resourceClaims(r.Claims, at.Child("claims"))...)
}

// resourceClaims are references to spec.resourceClaims.
func (p *podContext) resourceClaims(claims []corev1.ResourceClaim, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	// A claim may be used whole, or by several of its requests.
	whole, parts, inParts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, c := range claims {
		at := at.Index(i)
		if c.Name == "" {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		part := c.Name + "/" + c.Request
		switch {
		case whole[c.Name]:
			errs = append(errs, field.Duplicate(at, c.Name))
		case c.Request == "":
			if inParts[c.Name] {
				errs = append(errs, field.Duplicate(at, c.Name))
			}
			whole[c.Name] = true
		default:
			errs = append(errs, check.Label(c.Request, at.Child("request"))...)
			if parts[part] {
				errs = append(errs, field.Duplicate(at, part))
			}
			parts[part], inParts[c.Name] = true, true
		}
		if !p.claims[c.Name] {
			e := field.NotFound(at, c.Name)
			e.Detail = "must be one of the names in pod.spec.resourceClaims"
			if len(p.claims) == 0 {
				e.Detail += " which is empty"
			} else {
				e.Detail += ": " + strings.Join(sortedKeys(p.claims), ", ")
			}
			errs = append(errs, e)
		}
	}
	return errs
}

func (p *podContext) resizePolicy(policies []corev1.ContainerResizePolicy, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceName]bool{}
	for i, r := range policies {
		if seen[r.ResourceName] {
			errs = append(errs, field.Duplicate(at.Index(i), r.ResourceName))
		}
		seen[r.ResourceName] = true
		errs = append(errs, requiredOneOf(r.ResourceName, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}, at)...)
		errs = append(errs, requiredOneOf(r.RestartPolicy, []corev1.ResourceResizeRestartPolicy{corev1.NotRequired, corev1.RestartContainer}, at)...)
		if p.restart == corev1.RestartPolicyNever && r.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(at, r.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}

// podResources checks the resources set for a pod as a whole, which bound
// those of its containers.
func (p *podContext) podResources(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	r := s.Resources
	if r == nil {
		return nil
	}
	if s.OS != nil && s.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(at, "may not be set for a windows pod")}
	}
	var errs field.ErrorList
	if r.Claims != nil {
		errs = append(errs, field.Forbidden(at.Child("claims"), "claims may not be set for Resources at pod-level"))
	}
	errs = append(errs, check.Requirements(r, podResourceName, p.opts.AnyHugePages, at)...)
	errs = append(errs, p.resourceClaims(r.Claims, at.Child("claims"))...)

	sum := resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *s}, resourcehelper.PodResourcesOptions{})
	for _, name := range sortedKeys(sum) {
		whole, ok := r.Requests[name]
		if all := sum[name]; ok && all.Cmp(whole) > 0 {
			errs = append(errs, field.Invalid(at.Child("requests").Key(string(name)), whole.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", all.String())))
		}
	}
	sum = resourcehelper.AggregateContainerLimits(&corev1.Pod{Spec: *s}, resourcehelper.PodResourcesOptions{})
	for _, name := range sortedKeys(sum) {
		whole, ok := r.Limits[name]
		if all := sum[name]; ok && check.IsHugePages(name) && all.Cmp(whole) > 0 {
			errs = append(errs, field.Invalid(at.Child("limits").Key(string(name)), whole.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container limits of %s", all.String())))
		}
	}
	for i := range s.Containers {
		limits := s.Containers[i].Resources.Limits
		for _, name := range sortedKeys(limits) {
			whole, ok := r.Limits[name]
			if one := limits[name]; ok && one.Cmp(whole) > 0 {
				errs = append(errs, field.Invalid(at.Child("containers").Index(i).Key(string(name)).Child("limits"), one.String(),
					fmt.Sprintf("must be less than or equal to pod limits of %s", whole.String())))
			}
		}
	}
	return errs
}

func podResourceName(name corev1.ResourceName, at *field.Path) field.ErrorList {
	errs := check.ResourceName(name, at)
	if len(errs) == 0 && !resourcehelper.IsSupportedPodLevelResource(name) {
		errs = append(errs, field.NotSupported(at, name, sortedKeys(resourcehelper.SupportedPodLevelResources())))
	}
	return errs
}
