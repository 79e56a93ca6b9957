package apps

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
	"proa/resource/core"
)

const mismatch = "`selector` does not match template `labels`"

// validateSelector checks the selector of a workload, which must be given and
// must select something; owner is how messages call the workload.
func validateSelector(s *metav1.LabelSelector, owner string, at *field.Path) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, at)
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at, s, "empty selector is invalid for "+owner))
	}
	return errs
}

// validateReplicaTemplate checks the template of pods that are replicas of one
// another and run for ever. A missing selector selects nothing.
func validateReplicaTemplate(t, old *corev1.PodTemplateSpec, selector labels.Selector, at *field.Path) field.ErrorList {
	errs := validateSelects(selector, t, at)
	errs = append(errs, core.ValidatePodTemplateSpec(t, at, core.TemplateOptions(old))...)
	return append(errs, validateRunsForever(&t.Spec, "ReplicaSet", at.Child("spec"))...)
}

// validateSelects: a workload that did not select its own pods would make more
// and more of them.
func validateSelects(selector labels.Selector, t *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	if selector.Empty() || selector.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(at.Child("metadata", "labels"), t.Labels, mismatch)}
}

// validateRunsForever: a controller that keeps pods running has no use for pods
// that end by themselves. owner is how messages call the workload.
func validateRunsForever(s *corev1.PodSpec, owner string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(at.Child("restartPolicy"), s.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if s.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(at.Child("activeDeadlineSeconds"), "activeDeadlineSeconds in "+owner+" is not Supported"))
	}
	return errs
}

// templateWarnings are those about a workload's name, at creation, and about
// its template, where the spec has changed.
func templateWarnings(o metav1.Object, t *corev1.PodTemplateSpec, old metav1.Object, oldTemplate *corev1.PodTemplateSpec) []string {
	at := field.NewPath("spec", "template")
	if oldTemplate == nil {
		return append(check.HostnameWarnings(o.GetName()), core.PodTemplateWarnings(t, nil, at)...)
	}
	if o.GetGeneration() == old.GetGeneration() {
		return nil
	}
	return core.PodTemplateWarnings(t, oldTemplate, at)
}
