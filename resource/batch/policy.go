package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

// Limits of the policies of a job.
const (
	maxRules          = 20
	maxConditions     = 20
	maxExitCodes      = 255
	maxSuccessIndexes = 64 << 10
)

// validateFailurePolicy checks what is to be done with a job when a pod of it
// fails in a certain way.
func validateFailurePolicy(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	at = at.Child("rules")
	rules := s.PodFailurePolicy.Rules
	var errs field.ErrorList
	if len(rules) > maxRules {
		errs = append(errs, field.TooMany(at, len(rules), maxRules))
	}
	for i := range rules {
		errs = append(errs, validateFailureRule(s, &rules[i], at.Index(i))...)
	}
	return errs
}

func validateFailureRule(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	actions := []batchv1.PodFailurePolicyAction{
		batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore,
	}
	action := at.Child("action")
	switch {
	case r.Action == "":
		errs = append(errs, field.Required(action, fmt.Sprintf("valid values: %q", actions)))
	case r.Action == batchv1.PodFailurePolicyActionFailIndex:
		if s.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Invalid(action, r.Action, "requires the backoffLimitPerIndex to be set"))
		}
	case !slices.Contains(actions, r.Action):
		errs = append(errs, field.NotSupported(action, r.Action, actions))
	}
	if r.OnExitCodes != nil {
		errs = append(errs, validateExitCodes(s, r.OnExitCodes, at.Child("onExitCodes"))...)
	}
	if len(r.OnPodConditions) > 0 {
		errs = append(errs, validatePodConditions(r.OnPodConditions, at.Child("onPodConditions"))...)
	}
	switch codes, conditions := r.OnExitCodes != nil, len(r.OnPodConditions) > 0; {
	case codes && conditions:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
	case !codes && !conditions:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
	}
	return errs
}

func validateExitCodes(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyOnExitCodesRequirement, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	operators := []batchv1.PodFailurePolicyOnExitCodesOperator{
		batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn,
	}
	if r.Operator == "" {
		errs = append(errs, field.Required(at.Child("operator"), fmt.Sprintf("valid values: %q", operators)))
	} else {
		errs = append(errs, check.OneOf(r.Operator, operators, at.Child("operator"))...)
	}
	if name := r.ContainerName; name != nil && !hasContainer(&s.Template.Spec, *name) {
		errs = append(errs, field.Invalid(at.Child("containerName"), *name, "must be one of the container or initContainer names in the pod template"))
	}
	values := at.Child("values")
	switch n := len(r.Values); {
	case n == 0:
		errs = append(errs, field.Invalid(values, r.Values, "at least one value is required"))
	case n > maxExitCodes:
		errs = append(errs, field.TooMany(values, n, maxExitCodes))
	}
	seen := map[int32]bool{}
	for i, v := range r.Values {
		if v == 0 && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn {
			errs = append(errs, field.Invalid(values.Index(i), v, "must not be 0 for the In operator"))
		}
		if seen[v] {
			errs = append(errs, field.Duplicate(values.Index(i), v))
		}
		seen[v] = true
	}
	if !slices.IsSorted(r.Values) {
		errs = append(errs, field.Invalid(values, r.Values, "must be ordered"))
	}
	return errs
}

func hasContainer(s *corev1.PodSpec, name string) bool {
	named := func(c corev1.Container) bool { return c.Name == name }
	return slices.ContainsFunc(s.Containers, named) || slices.ContainsFunc(s.InitContainers, named)
}

func validatePodConditions(ps []batchv1.PodFailurePolicyOnPodConditionsPattern, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(ps) > maxConditions {
		errs = append(errs, field.TooMany(at, len(ps), maxConditions))
	}
	statuses := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
	for i, p := range ps {
		errs = append(errs, check.QualifiedName(string(p.Type), at.Index(i).Child("type"))...)
		if status := at.Index(i).Child("status"); p.Status == "" {
			errs = append(errs, field.Required(status, fmt.Sprintf("valid values: %q", statuses)))
		} else {
			errs = append(errs, check.OneOf(p.Status, statuses, status)...)
		}
	}
	return errs
}

// validateSuccessPolicy checks which indexes have to succeed for an indexed job
// to be done before all of them have.
func validateSuccessPolicy(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	at = at.Child("rules")
	rules := s.SuccessPolicy.Rules
	var errs field.ErrorList
	if len(rules) == 0 {
		errs = append(errs, field.Required(at, "at least one rules must be specified when the successPolicy is specified"))
	}
	if len(rules) > maxRules {
		errs = append(errs, field.TooMany(at, len(rules), maxRules))
	}
	completions := ptr.Deref(s.Completions, 0)
	for i := range rules {
		errs = append(errs, validateSuccessRule(&rules[i], completions, at.Index(i))...)
	}
	return errs
}

func validateSuccessRule(r *batchv1.SuccessPolicyRule, completions int32, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.SucceededIndexes == nil && r.SucceededCount == nil {
		errs = append(errs, field.Required(at, "at least one of succeededCount or succeededIndexes must be specified"))
	}
	named := int32(0)
	if list := r.SucceededIndexes; list != nil {
		indexes := at.Child("succeededIndexes")
		if len(*list) > maxSuccessIndexes {
			errs = append(errs, field.TooLong(indexes, *list, maxSuccessIndexes))
		}
		var err error
		if named, err = CountIndexes(*list, completions); err != nil {
			errs = append(errs, field.Invalid(indexes, *list, fmt.Sprintf("error parsing succeededIndexes: %s", err)))
		}
	}
	if n := r.SucceededCount; n != nil {
		count := at.Child("succeededCount")
		errs = append(errs, check.NonNegative(int64(*n), count)...)
		if *n > completions {
			errs = append(errs, field.Invalid(count, *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions)))
		}
		if r.SucceededIndexes != nil && *n > named {
			errs = append(errs, field.Invalid(count, *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", named)))
		}
	}
	return errs
}
