package admissionregistration

import (
	"strings"
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/admission/expression"
	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// MutatingAdmissionPolicy is the row of mutating policies: CEL expressions that
// compute changes to what is written.
func MutatingAdmissionPolicy() *resource.Definition {
	return resource.Row[*arv1.MutatingAdmissionPolicy]{
		Storage:                arv1.SchemeGroupVersion,
		Kind:                   "MutatingAdmissionPolicy",
		Plural:                 "mutatingadmissionpolicies",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		AnyFinalizer:           true,
		RequireResourceVersion: true,
		Settled:                true,
		New:                    func() *arv1.MutatingAdmissionPolicy { return new(arv1.MutatingAdmissionPolicy) },
		NewList:                func() runtime.Object { return new(arv1.MutatingAdmissionPolicyList) },
		Former:                 []resource.Version[*arv1.MutatingAdmissionPolicy]{mutatingPolicyV1beta1()},
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default: func(p *arv1.MutatingAdmissionPolicy) {
			setDefault(&p.Spec.FailurePolicy, arv1.Fail)
			defaultMatch(p.Spec.MatchConstraints)
		},
		Validate: func(p *arv1.MutatingAdmissionPolicy) field.ErrorList {
			return validateMutatingPolicy(p, conditionRules{}, nil)
		},
		ValidateUpdate: func(p, old *arv1.MutatingAdmissionPolicy) field.ErrorList {
			var stored []string
			for _, m := range old.Spec.Mutations {
				if m.ApplyConfiguration != nil {
					stored = append(stored, m.ApplyConfiguration.Expression)
				}
				if m.JSONPatch != nil {
					stored = append(stored, m.JSONPatch.Expression)
				}
			}
			return validateMutatingPolicy(p, conditionsAfter(mutatingHead(p), mutatingHead(old)), stored)
		},
		Warnings: func(p, _ *arv1.MutatingAdmissionPolicy) []string { return warnings(p.Name) },
		Spec:     func(p *arv1.MutatingAdmissionPolicy) any { return &p.Spec },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
			columns.String("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
			columns.Age(),
		},
		Cells: func(p *arv1.MutatingAdmissionPolicy, now time.Time) []any {
			return []any{p.Name, int64(len(p.Spec.Mutations)), paramKindCell(p.Spec.ParamKind), columns.Since(p.CreationTimestamp, now)}
		},
	}.Define()
}

func mutatingHead(p *arv1.MutatingAdmissionPolicy) policyHead {
	s := &p.Spec
	return policyHead{s.FailurePolicy, s.ParamKind, s.MatchConstraints, s.MatchConditions}
}

func validateMutatingPolicy(p *arv1.MutatingAdmissionPolicy, r conditionRules, stored []string) field.ErrorList {
	at, s := field.NewPath("spec"), &p.Spec
	head := mutatingHead(p)
	errs := head.validate(at)
	errs = append(errs, onlyMutable(s.MatchConstraints, at.Child("matchConstraints"))...)
	errs = append(errs, head.validateConditions(r, at)...)
	c := lazily(expression.NewCompiler)
	sees := expression.Sees{Params: s.ParamKind != nil, Authorizer: true}
	if len(s.Variables) > 0 {
		errs = append(errs, validateVariables(c(), s.Variables, sees, nil, at.Child("variables"))...)
	}
	if len(s.Mutations) == 0 {
		errs = append(errs, field.Required(at.Child("mutations"), "mutations must contain at least one item"))
	}
	sees.Patch = true
	for i := range s.Mutations {
		errs = append(errs, validateMutation(c, &s.Mutations[i], sees, stored, at.Child("mutations").Index(i))...)
	}
	if s.ReinvocationPolicy == "" {
		return append(errs, field.Required(at.Child("reinvocationPolicy"), ""))
	}
	return append(errs, check.OneOf(s.ReinvocationPolicy, reinvocationPolicies, at.Child("reinvocationPolicy"))...)
}

var patchTypes = []arv1.PatchType{arv1.PatchTypeApplyConfiguration, arv1.PatchTypeJSONPatch}

func validateMutation(c func() *expression.Compiler, m *arv1.Mutation, sees expression.Sees, stored []string, at *field.Path) field.ErrorList {
	// expressionOf checks the one expression of a mutation.
	expressionOf := func(text string, returns *expression.Type, at *field.Path) field.ErrorList {
		trimmed := strings.TrimSpace(text)
		if trimmed == "" {
			return field.ErrorList{field.Required(at, "")}
		}
		return compiled(c().Compile(trimmed, sees, age(text, stored), returns), at)
	}
	var errs field.ErrorList
	patch, apply := at.Child("jsonPatch"), at.Child("applyConfiguration")
	switch m.PatchType {
	case "":
		errs = append(errs, field.Required(at.Child("patchType"), ""))
	case arv1.PatchTypeJSONPatch:
		if m.JSONPatch == nil {
			errs = append(errs, field.Required(patch, "must be specified when patchType is JSONPatch"))
		} else {
			errs = append(errs, expressionOf(m.JSONPatch.Expression, expression.JSONPatchOps, patch.Child("expression"))...)
		}
		if m.ApplyConfiguration != nil {
			errs = append(errs, field.Invalid(apply, "{applyConfiguration}", "must not be specified when patchType is JSONPatch"))
		}
	case arv1.PatchTypeApplyConfiguration:
		if m.ApplyConfiguration == nil {
			errs = append(errs, field.Required(apply, "must be specified when patchType is ApplyConfiguration"))
		} else {
			errs = append(errs, expressionOf(m.ApplyConfiguration.Expression, expression.Object, apply.Child("expression"))...)
		}
		if m.JSONPatch != nil {
			errs = append(errs, field.Invalid(patch, "{jsonPatch}", "must not be specified when patchType is ApplyConfiguration"))
		}
	default:
		errs = append(errs, check.OneOf(m.PatchType, patchTypes, at.Child("patchType"))...)
	}
	return errs
}
