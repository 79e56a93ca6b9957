package authorization

import (
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

func validateSubjectAccessReview(r *authorizationv1.SubjectAccessReview) field.ErrorList {
	errs := validateSubjectSpec(&r.Spec)
	return append(errs, validateEmptyMeta(r.ObjectMeta)...)
}

func validateSelfSubjectAccessReview(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
	errs := validateOneQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	errs = append(errs, validateResource(r.Spec.ResourceAttributes)...)
	return append(errs, validateEmptyMeta(r.ObjectMeta)...)
}

func validateLocalSubjectAccessReview(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := validateSubjectSpec(&r.Spec)
	meta := r.ObjectMeta
	meta.Namespace, meta.ManagedFields = "", nil
	if !check.Equal(metav1.ObjectMeta{}, meta) {
		errs = append(errs, field.Invalid(field.NewPath("metadata"), r.ObjectMeta, "must be empty except for namespace"))
	}
	if a := r.Spec.ResourceAttributes; a != nil && a.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("spec.resourceAttributes.namespace"), a.Namespace, "must match metadata.namespace"))
	}
	if a := r.Spec.NonResourceAttributes; a != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec.nonResourceAttributes"), check.GoForm{Value: a}, "disallowed on this kind of request"))
	}
	return errs
}

// validateEmptyMeta: a review is a question, not an object.
func validateEmptyMeta(meta metav1.ObjectMeta) field.ErrorList {
	bare := meta
	bare.ManagedFields = nil
	if check.Equal(metav1.ObjectMeta{}, bare) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), meta, "must be empty")}
}

func validateSubjectSpec(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateOneQuestion(s.ResourceAttributes, s.NonResourceAttributes)
	if s.User == "" && len(s.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "user"), s.User, "at least one of user or group must be specified"))
	}
	return append(errs, validateResource(s.ResourceAttributes)...)
}

// validateOneQuestion: a review asks about a resource or about a URL.
func validateOneQuestion(r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) field.ErrorList {
	spec := field.NewPath("spec")
	switch {
	case r != nil && n != nil:
		return field.ErrorList{field.Invalid(spec.Child("nonResourceAttributes"), check.GoForm{Value: n}, "cannot be specified in combination with resourceAttributes")}
	case r == nil && n == nil:
		return field.ErrorList{field.Invalid(spec.Child("resourceAttributes"), check.GoForm{Value: n}, "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

// validateResource checks the selectors of a question. Operators that this
// server does not know are let through: a newer client may know them, and the
// authorizer then ignores the requirement, which can only narrow the answer.
func validateResource(r *authorizationv1.ResourceAttributes) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	spec := field.NewPath("spec", "resourceAttributes")
	if s := r.FieldSelector; s != nil {
		at := spec.Child("fieldSelector")
		errs = append(errs, validateForm(s.RawSelector, len(s.Requirements), at)...)
		for i, q := range s.Requirements {
			errs = append(errs, metavalidation.ValidateFieldSelectorRequirement(q,
				metavalidation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true},
				at.Child("requirements").Index(i))...)
		}
	}
	if s := r.LabelSelector; s != nil {
		at := spec.Child("labelSelector")
		errs = append(errs, validateForm(s.RawSelector, len(s.Requirements), at)...)
		for i, q := range s.Requirements {
			errs = append(errs, metavalidation.ValidateLabelSelectorRequirement(q,
				metavalidation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true},
				at.Child("requirements").Index(i))...)
		}
	}
	return errs
}

// validateForm: a selector is given in its raw form or as requirements.
func validateForm(raw string, requirements int, at *field.Path) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(at.Child("rawSelector"), raw, "may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(at.Child("requirements"), fmt.Sprintf("when %s is specified, requirements or rawSelector is required", at))}
	}
	return nil
}
