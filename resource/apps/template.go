package apps

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
	"proa/resource/core"
)

const mismatch = "`selector` does not match template `labels`"

// validateSelector checks the selector of a workload, which must be given and
// must select something; owner is how messages call the workload.
func validateSelector(s *metav1.LabelSelector, allowInvalidValues bool, owner string, at *field.Path) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := validateSelectorForm(s, allowInvalidValues, at)
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at, s, "empty selector is invalid for "+owner))
	}
	return errs
}

func validateSelectorForm(s *metav1.LabelSelector, allowInvalidValues bool, at *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(s,
		metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: allowInvalidValues}, at)
}

// validateReplicaTemplate checks the template of pods that are replicas of one
// another and run for ever. owner is how messages call the workload. A selector
// that cannot be parsed has been reported, and matches anything here.
func validateReplicaTemplate(t, old *corev1.PodTemplateSpec, selector labels.Selector, replicas int32, owner string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !selector.Empty() && !selector.Matches(labels.Set(t.Labels)) {
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), t.Labels, mismatch))
	}
	errs = append(errs, core.ValidatePodTemplateSpec(t, at, core.PodSpecOptions{})...)
	if replicas > 1 {
		errs = append(errs, validateSharedDisks(t.Spec.Volumes, old, at.Child("spec", "volumes"))...)
	}
	return append(errs, validateRunsForever(&t.Spec, owner, at.Child("spec"))...)
}

// validateRunsForever: a controller that keeps pods running has no use for pods
// that end by themselves.
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

// validateSharedDisks: a GCE disk can be attached to several machines only for
// reading. Volumes that the stored object has already are left alone.
func validateSharedDisks(vs []corev1.Volume, old *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range vs {
		d := vs[i].GCEPersistentDisk
		if d == nil || d.ReadOnly || (old != nil && hasVolume(old.Spec.Volumes, &vs[i])) {
			continue
		}
		errs = append(errs, field.Invalid(at.Index(i).Child("gcePersistentDisk", "readOnly"), false,
			"must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only"))
	}
	return errs
}

func hasVolume(vs []corev1.Volume, v *corev1.Volume) bool {
	for i := range vs {
		if check.Equal(&vs[i], v) {
			return true
		}
	}
	return false
}

// nameWarnings: the name of a workload becomes a part of host names.
func nameWarnings(name string) []string {
	if messages := validation.IsDNS1123Label(name); len(messages) > 0 {
		return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", messages)}
	}
	return nil
}
