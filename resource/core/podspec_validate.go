package core

import (
	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// PodSpecOptions loosen the rules for specs that were stored under older ones.
// The zero value is what holds for a new object.
type PodSpecOptions struct{}

// ValidatePodTemplateSpec checks the pod template of a workload: its labels and
// annotations, and its spec.
func ValidatePodTemplateSpec(t *corev1.PodTemplateSpec, at *field.Path, opts PodSpecOptions) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Labels, at.Child("labels"))
	return append(errs, ValidatePodSpec(&t.Spec, at.Child("spec"), opts)...)
}

// ValidatePodSpec checks a pod spec after defaulting.
func ValidatePodSpec(s *corev1.PodSpec, at *field.Path, opts PodSpecOptions) field.ErrorList {
	var errs field.ErrorList
	if len(s.Containers) == 0 {
		errs = append(errs, field.Required(at.Child("containers"), ""))
	}
	for i := range s.Containers {
		c, at := &s.Containers[i], at.Child("containers").Index(i)
		if c.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, check.Label(c.Name, at.Child("name"))...)
		}
		if c.Image == "" {
			errs = append(errs, field.Required(at.Child("image"), ""))
		}
	}
	return errs
}
