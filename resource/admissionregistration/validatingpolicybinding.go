package admissionregistration

import (
	"slices"
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ValidatingAdmissionPolicyBinding is the row of what puts a validating policy
// into effect: for which requests, with which parameters, and with what
// consequence.
func ValidatingAdmissionPolicyBinding() *resource.Definition {
	return resource.Row[*arv1.ValidatingAdmissionPolicyBinding]{
		Storage:                arv1.SchemeGroupVersion,
		Kind:                   "ValidatingAdmissionPolicyBinding",
		Plural:                 "validatingadmissionpolicybindings",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		AnyFinalizer:           true,
		RequireResourceVersion: true,
		Settled:                true,
		New:                    func() *arv1.ValidatingAdmissionPolicyBinding { return new(arv1.ValidatingAdmissionPolicyBinding) },
		NewList:                func() runtime.Object { return new(arv1.ValidatingAdmissionPolicyBindingList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default:                func(b *arv1.ValidatingAdmissionPolicyBinding) { defaultMatch(b.Spec.MatchResources) },
		Validate:               validateValidatingBinding,
		ValidateUpdate: func(b, _ *arv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
			return validateValidatingBinding(b)
		},
		Warnings: func(b, _ *arv1.ValidatingAdmissionPolicyBinding) []string { return warnings(b.Name) },
		Spec:     func(b *arv1.ValidatingAdmissionPolicyBinding) any { return &b.Spec },
		Columns:  bindingColumns(),
		Cells: func(b *arv1.ValidatingAdmissionPolicyBinding, now time.Time) []any {
			return []any{b.Name, b.Spec.PolicyName, paramRefCell(b.Spec.ParamRef), columns.Since(b.CreationTimestamp, now)}
		},
	}.Define()
}

func bindingColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		columns.Name(),
		columns.String("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
		columns.String("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
		columns.Age(),
	}
}

func validateValidatingBinding(b *arv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	at := field.NewPath("spec")
	errs := validatePolicyName(b.Spec.PolicyName, at.Child("policyName"))
	errs = append(errs, validateParamRef(b.Spec.ParamRef, at.Child("paramRef"))...)
	errs = append(errs, validateMatch(b.Spec.MatchResources, at.Child("matchResources"))...)
	return append(errs, validateActions(b.Spec.ValidationActions, at.Child("validationActions"))...)
}

var actions = []arv1.ValidationAction{arv1.Audit, arv1.Deny, arv1.Warn}

func validateActions(given []arv1.ValidationAction, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, a := range given {
		errs = append(errs, check.OneOf(a, actions, at.Index(i))...)
		if slices.Contains(given[:i], a) {
			errs = append(errs, field.Duplicate(at.Index(i), a))
		}
	}
	if slices.Contains(given, arv1.Deny) && slices.Contains(given, arv1.Warn) {
		errs = append(errs, field.Invalid(at, given, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"))
	}
	if len(given) == 0 {
		errs = append(errs, field.Required(at, "at least one validation action is required"))
	}
	return errs
}
