package admissionregistration

import (
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// MutatingAdmissionPolicyBinding is the row of what puts a mutating policy into
// effect: for which requests, and with which parameters.
func MutatingAdmissionPolicyBinding() *resource.Definition {
	return resource.Row[*arv1.MutatingAdmissionPolicyBinding]{
		Storage:                arv1.SchemeGroupVersion,
		Kind:                   "MutatingAdmissionPolicyBinding",
		Plural:                 "mutatingadmissionpolicybindings",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		AnyFinalizer:           true,
		RequireResourceVersion: true,
		Settled:                true,
		New:                    func() *arv1.MutatingAdmissionPolicyBinding { return new(arv1.MutatingAdmissionPolicyBinding) },
		NewList:                func() runtime.Object { return new(arv1.MutatingAdmissionPolicyBindingList) },
		Former:                 []resource.Version[*arv1.MutatingAdmissionPolicyBinding]{mutatingPolicyBindingV1beta1()},
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default:                func(b *arv1.MutatingAdmissionPolicyBinding) { defaultMatch(b.Spec.MatchResources) },
		Validate:               validateMutatingBinding,
		ValidateUpdate: func(b, _ *arv1.MutatingAdmissionPolicyBinding) field.ErrorList {
			return validateMutatingBinding(b)
		},
		Warnings: func(b, _ *arv1.MutatingAdmissionPolicyBinding) []string { return warnings(b.Name) },
		Spec:     func(b *arv1.MutatingAdmissionPolicyBinding) any { return &b.Spec },
		Columns:  bindingColumns(),
		Cells: func(b *arv1.MutatingAdmissionPolicyBinding, now time.Time) []any {
			return []any{b.Name, b.Spec.PolicyName, paramRefCell(b.Spec.ParamRef), columns.Since(b.CreationTimestamp, now)}
		},
	}.Define()
}

func validateMutatingBinding(b *arv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	at := field.NewPath("spec")
	errs := validatePolicyName(b.Spec.PolicyName, at.Child("policyName"))
	errs = append(errs, validateParamRef(b.Spec.ParamRef, at.Child("paramRef"))...)
	errs = append(errs, validateMatch(b.Spec.MatchResources, at.Child("matchResources"))...)
	return append(errs, onlyMutable(b.Spec.MatchResources, at.Child("matchResources"))...)
}
