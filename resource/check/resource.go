package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ResourceName is a qualified name, and one that the system knows where it has
// no domain.
func ResourceName(name corev1.ResourceName, at *field.Path) field.ErrorList {
	errs := QualifiedName(string(name), at)
	if len(errs) == 0 && !strings.Contains(string(name), "/") && !IsStandardResource(name) {
		errs = append(errs, field.Invalid(at, name, "must be a standard resource type or fully qualified"))
	}
	return errs
}

// ContainerResourceName is a resource that a container can ask for.
func ContainerResourceName(name corev1.ResourceName, at *field.Path) field.ErrorList {
	errs := ResourceName(name, at)
	switch {
	case !strings.Contains(string(name), "/"):
		if !IsStandardContainerResource(name) {
			errs = append(errs, field.Invalid(at, name, "must be a standard resource for containers"))
		}
	case !IsNative(string(name)) && !IsExtendedResource(name):
		errs = append(errs, field.Invalid(at, name, "doesn't follow extended resource name standard"))
	}
	return errs
}

// Requirements checks limits and requests against each other. Every name must
// pass the rule given. With anyHugePages, an amount of huge pages need not be a
// multiple of their size.
func Requirements(r *corev1.ResourceRequirements, nameRule func(corev1.ResourceName, *field.Path) field.ErrorList, anyHugePages bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	limits, requests := at.Child("limits"), at.Child("requests")
	compute, huge := false, false
	note := func(name corev1.ResourceName, q resource.Quantity, at *field.Path) {
		switch {
		case IsHugePages(name):
			huge = true
			if !anyHugePages {
				errs = append(errs, HugePagesMultiple(name, q, at)...)
			}
		case name == corev1.ResourceCPU, name == corev1.ResourceMemory:
			compute = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Limits)) {
		at, q := limits.Key(string(name)), r.Limits[name]
		errs = append(errs, nameRule(name, at)...)
		errs = append(errs, Quantity(name, q, at)...)
		note(name, q, at)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		at, q := requests.Key(string(name)), r.Requests[name]
		errs = append(errs, nameRule(name, at)...)
		errs = append(errs, Quantity(name, q, at)...)
		limit, limited := r.Limits[name]
		switch over := IsOvercommitAllowed(name); {
		case limited && !over && q.Cmp(limit) != 0:
			errs = append(errs, field.Invalid(requests, q.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String())))
		case limited && q.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(requests, q.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		case !limited && !over:
			errs = append(errs, field.Required(limits, "Limit must be set for non overcommitable resources"))
		}
		note(name, q, at)
	}
	if huge && !compute {
		errs = append(errs, field.Forbidden(at, "HugePages require cpu or memory"))
	}
	return errs
}

// HugePagesMultiple refuses a part of a huge page.
func HugePagesMultiple(name corev1.ResourceName, q resource.Quantity, at *field.Path) field.ErrorList {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	if err == nil && size.Value() > 0 && size.MilliValue()%1000 == 0 && q.Value()%size.Value() == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, q.String(), fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), name))}
}
