package autoscaling

import (
	"errors"
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

// Limits of scaling rules, in seconds.
const (
	maxStabilization = 3600
	maxPeriod        = 1800
)

// validateHPA checks an autoscaler; old is nil at creation. Scaling to zero is
// off by default, but an autoscaler that does it already may go on.
func validateHPA(h, old *hpa) field.ErrorList {
	s, at := &h.Spec, field.NewPath("spec")
	lowest := int32(1)
	if old != nil && ptr.Deref(old.Spec.MinReplicas, 1) == 0 {
		lowest = 0
	}
	var errs field.ErrorList
	if n := s.MinReplicas; n != nil && *n < lowest {
		errs = append(errs, field.Invalid(at.Child("minReplicas"), *n, fmt.Sprintf("must be greater than or equal to %d", lowest)))
	}
	switch most := at.Child("maxReplicas"); {
	case s.MaxReplicas == 0:
		errs = append(errs, field.Required(most, "must be set and greater than 0"))
	case s.MaxReplicas < 0:
		errs = append(errs, field.Invalid(most, s.MaxReplicas, "must be greater than or equal to 1"))
	}
	if n := s.MinReplicas; n != nil && s.MaxReplicas < *n {
		errs = append(errs, field.Invalid(at.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateTargetRef(&s.ScaleTargetRef, scaledVersions(s, old), at.Child("scaleTargetRef"))...)
	errs = append(errs, validateMetrics(s, describedVersions(old), at.Child("metrics"))...)
	if b := s.Behavior; b != nil {
		errs = append(errs, validateRules(b.ScaleUp, at.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateRules(b.ScaleDown, at.Child("behavior", "scaleDown"))...)
	}
	return errs
}

// versions says which apiVersion a reference may have.
type versions int

const (
	ofGroups   versions = iota // of a named group
	ofAnyGroup                 // of a named group or of the one without a name
	ofAnything                 // any text
)

// scaledVersions: only replication controllers can be scaled in the group without
// a name. What is stored already may refer to anything.
func scaledVersions(s *autoscalingv2.HorizontalPodAutoscalerSpec, old *hpa) versions {
	r := &s.ScaleTargetRef
	switch {
	case old != nil && old.Spec.ScaleTargetRef.APIVersion == r.APIVersion && old.Spec.ScaleTargetRef.Kind == r.Kind:
		return ofAnything
	case r.Kind == "ReplicationController":
		return ofAnyGroup
	}
	return ofGroups
}

// describedVersions: an autoscaler with a metric of an object of no version may
// keep it.
func describedVersions(old *hpa) versions {
	if old != nil {
		for _, m := range old.Spec.Metrics {
			if m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil && ofAnyGroup.refuse(m.Object.DescribedObject.APIVersion) != nil {
				return ofAnything
			}
		}
	}
	return ofAnyGroup
}

func (v versions) refuse(apiVersion string) error {
	gv, err := schema.ParseGroupVersion(apiVersion)
	switch {
	case v == ofAnything:
		return nil
	case err != nil:
		return err
	case v == ofGroups && gv.Group == "":
		return errors.New("apiVersion must specify API group")
	}
	return nil
}

func validateTargetRef(r *autoscalingv2.CrossVersionObjectReference, allowed versions, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, part := range []struct{ name, value string }{{"kind", r.Kind}, {"name", r.Name}} {
		if part.value == "" {
			errs = append(errs, field.Required(at.Child(part.name), ""))
			continue
		}
		errs = append(errs, check.Messages(path.IsValidPathSegmentName(part.value), part.value, at.Child(part.name))...)
	}
	if err := allowed.refuse(r.APIVersion); err != nil {
		errs = append(errs, field.Invalid(at.Child("apiVersion"), r.APIVersion, err.Error()))
	}
	return errs
}

func validateMetrics(s *autoscalingv2.HorizontalPodAutoscalerSpec, described versions, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	independent := false
	for i := range s.Metrics {
		m := &s.Metrics[i]
		errs = append(errs, validateMetric(m, described, at.Index(i))...)
		independent = independent || m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	}
	if ptr.Deref(s.MinReplicas, 1) == 0 && !independent {
		// Without pods nothing could tell that some are needed again.
		errs = append(errs, field.Forbidden(at, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

// source is one of the places that a metric can come from, as it stands in a
// metric spec.
type source struct {
	name     string
	kind     autoscalingv2.MetricSourceType
	given    bool
	validate func(at *field.Path) field.ErrorList
}

func sources(m *autoscalingv2.MetricSpec, described versions) []source {
	return []source{
		{"object", autoscalingv2.ObjectMetricSourceType, m.Object != nil, func(at *field.Path) field.ErrorList { return validateObject(m.Object, described, at) }},
		{"external", autoscalingv2.ExternalMetricSourceType, m.External != nil, func(at *field.Path) field.ErrorList { return validateExternal(m.External, at) }},
		{"pods", autoscalingv2.PodsMetricSourceType, m.Pods != nil, func(at *field.Path) field.ErrorList { return validatePods(m.Pods, at) }},
		{"resource", autoscalingv2.ResourceMetricSourceType, m.Resource != nil, func(at *field.Path) field.ErrorList {
			return validateResource(string(m.Resource.Name), nil, &m.Resource.Target, at)
		}},
		{"containerResource", autoscalingv2.ContainerResourceMetricSourceType, m.ContainerResource != nil, func(at *field.Path) field.ErrorList {
			return validateResource(string(m.ContainerResource.Name), &m.ContainerResource.Container, &m.ContainerResource.Target, at)
		}},
	}
}

func validateMetric(m *autoscalingv2.MetricSpec, described versions, at *field.Path) field.ErrorList {
	all := sources(m, described)
	var errs field.ErrorList
	kinds := []autoscalingv2.MetricSourceType{
		autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType, autoscalingv2.ObjectMetricSourceType,
		autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType,
	}
	if m.Type == "" {
		errs = append(errs, field.Required(at.Child("type"), "must specify a metric source type"))
	}
	if !slices.Contains(kinds, m.Type) {
		errs = append(errs, field.NotSupported(at.Child("type"), m.Type, kinds))
	}
	// Only the first source given is looked into; further ones do not belong
	// there at all.
	given := 0
	for _, s := range all {
		if s.given {
			if given++; given == 1 {
				errs = append(errs, s.validate(at.Child(s.name))...)
			}
		}
	}
	for _, s := range all {
		if s.kind == m.Type && !s.given {
			errs = append(errs, field.Required(at.Child(s.name), "must populate information for the given metric source"))
		}
	}
	if given != 1 {
		for _, s := range all {
			if s.given && s.kind != m.Type {
				errs = append(errs, field.Forbidden(at.Child(s.name), "must populate the given metric source only"))
			}
		}
	}
	return errs
}

func validateObject(m *autoscalingv2.ObjectMetricSource, described versions, at *field.Path) field.ErrorList {
	errs := validateTargetRef(&m.DescribedObject, described, at.Child("describedObject"))
	errs = append(errs, validateIdentifier(&m.Metric, at.Child("metric"))...)
	errs = append(errs, validateTarget(&m.Target, at.Child("target"))...)
	if m.Target.Value == nil && m.Target.AverageValue == nil {
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must set either a target value or averageValue"))
	}
	return errs
}

func validateExternal(m *autoscalingv2.ExternalMetricSource, at *field.Path) field.ErrorList {
	errs := validateIdentifier(&m.Metric, at.Child("metric"))
	errs = append(errs, validateTarget(&m.Target, at.Child("target"))...)
	switch v, a := m.Target.Value, m.Target.AverageValue; {
	case v == nil && a == nil:
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target"))
	case v != nil && a != nil:
		errs = append(errs, field.Forbidden(at.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
	}
	return errs
}

func validatePods(m *autoscalingv2.PodsMetricSource, at *field.Path) field.ErrorList {
	errs := validateIdentifier(&m.Metric, at.Child("metric"))
	errs = append(errs, validateTarget(&m.Target, at.Child("target"))...)
	if a := m.Target.AverageValue; a == nil {
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must specify a positive target averageValue"))
	}
	return errs
}

// validateResource checks a metric of a resource that pods ask for; container
// is nil where it is that of whole pods.
func validateResource(name string, container *string, t *autoscalingv2.MetricTarget, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at.Child("name"), "must specify a resource name"))
	}
	if container != nil {
		if name != "" {
			errs = append(errs, check.ContainerResourceName(corev1.ResourceName(name), at.Child("name"))...)
		}
		if *container == "" {
			errs = append(errs, field.Required(at.Child("container"), "must specify a container"))
		} else {
			errs = append(errs, check.Label(*container, at.Child("container"))...)
		}
	}
	errs = append(errs, validateTarget(t, at.Child("target"))...)
	switch u, a := t.AverageUtilization, t.AverageValue; {
	case u == nil && a == nil:
		errs = append(errs, field.Required(at.Child("target", "averageUtilization"), "must set either a target raw value or a target utilization"))
	case u != nil && a != nil:
		errs = append(errs, field.Forbidden(at.Child("target", "averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateTarget(t *autoscalingv2.MetricTarget, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Type == "" {
		errs = append(errs, field.Required(at.Child("type"), "must specify a metric target type"))
	}
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		errs = append(errs, field.Invalid(at.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	positive := func(name string, q *resource.Quantity) {
		if q != nil && q.Sign() != 1 {
			errs = append(errs, field.Invalid(at.Child(name), q, "must be positive"))
		}
	}
	positive("value", t.Value)
	positive("averageValue", t.AverageValue)
	if u := t.AverageUtilization; u != nil && *u < 1 {
		errs = append(errs, field.Invalid(at.Child("averageUtilization"), *u, "must be greater than 0"))
	}
	return errs
}

func validateIdentifier(m *autoscalingv2.MetricIdentifier, at *field.Path) field.ErrorList {
	if m.Name == "" {
		return field.ErrorList{field.Required(at.Child("name"), "must specify a metric name")}
	}
	return check.Messages(path.IsValidPathSegmentName(m.Name), m.Name, at.Child("name"))
}

func validateRules(r *autoscalingv2.HPAScalingRules, at *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if n := r.StabilizationWindowSeconds; n != nil {
		at := at.Child("stabilizationWindowSeconds")
		if *n < 0 {
			errs = append(errs, field.Invalid(at, *n, "must be greater than or equal to zero"))
		}
		if *n > maxStabilization {
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %v", maxStabilization)))
		}
	}
	if p := r.SelectPolicy; p != nil {
		errs = append(errs, check.OneOf(*p, []autoscalingv2.ScalingPolicySelect{
			autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect,
		}, at.Child("selectPolicy"))...)
	}
	policies := at.Child("policies")
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(policies, "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		at := policies.Index(i)
		errs = append(errs, check.OneOf(p.Type, []autoscalingv2.HPAScalingPolicyType{
			autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy,
		}, at.Child("type"))...)
		if p.Value <= 0 {
			errs = append(errs, field.Invalid(at.Child("value"), p.Value, "must be greater than zero"))
		}
		if p.PeriodSeconds <= 0 {
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds, "must be greater than zero"))
		}
		if p.PeriodSeconds > maxPeriod {
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", maxPeriod)))
		}
	}
	if r.Tolerance != nil {
		errs = append(errs, check.QuantityNonNegative(*r.Tolerance, at.Child("tolerance"))...)
	}
	return errs
}
