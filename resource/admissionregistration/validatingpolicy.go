package admissionregistration

import (
	"fmt"
	"strings"
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/util/jsonpath"

	"proa/admission/expression"
	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ValidatingAdmissionPolicy is the row of validating policies: CEL expressions
// that must hold of what is written.
func ValidatingAdmissionPolicy() *resource.Definition {
	return resource.Row[*arv1.ValidatingAdmissionPolicy]{
		Storage:                arv1.SchemeGroupVersion,
		Kind:                   "ValidatingAdmissionPolicy",
		Plural:                 "validatingadmissionpolicies",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		AnyFinalizer:           true,
		RequireResourceVersion: true,
		Settled:                true,
		New:                    func() *arv1.ValidatingAdmissionPolicy { return new(arv1.ValidatingAdmissionPolicy) },
		NewList:                func() runtime.Object { return new(arv1.ValidatingAdmissionPolicyList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default: func(p *arv1.ValidatingAdmissionPolicy) {
			setDefault(&p.Spec.FailurePolicy, arv1.Fail)
			defaultMatch(p.Spec.MatchConstraints)
		},
		PrepareCreate: func(_ *resource.Request, p *arv1.ValidatingAdmissionPolicy) {
			p.Status = arv1.ValidatingAdmissionPolicyStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, p, old *arv1.ValidatingAdmissionPolicy) {
			p.Status = *old.Status.DeepCopy()
		},
		Validate: func(p *arv1.ValidatingAdmissionPolicy) field.ErrorList {
			return validateValidatingPolicy(p, conditionRules{}, storedExpressions{})
		},
		ValidateUpdate: func(p, old *arv1.ValidatingAdmissionPolicy) field.ErrorList {
			return validateValidatingPolicy(p, conditionsAfter(validatingHead(p), validatingHead(old)), expressionsOf(old))
		},
		Warnings: func(p, _ *arv1.ValidatingAdmissionPolicy) []string { return warnings(p.Name) },
		Spec:     func(p *arv1.ValidatingAdmissionPolicy) any { return &p.Spec },
		Updates: map[string]resource.Update[*arv1.ValidatingAdmissionPolicy]{
			"status": {
				Restored: []string{"metadata"},
				PrepareUpdate: func(_ *resource.Request, p, old *arv1.ValidatingAdmissionPolicy) {
					p.Spec = *old.Spec.DeepCopy()
					metav1.ResetObjectMetaForStatus(p, old.DeepCopy())
				},
				ValidateUpdate: func(p, _ *arv1.ValidatingAdmissionPolicy) field.ErrorList {
					return validateValidatingStatus(&p.Status)
				},
				Warnings: func(p, _ *arv1.ValidatingAdmissionPolicy) []string { return warnings(p.Name) },
			},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Validations", "Validations indicates the number of validation rules defined in this configuration"),
			columns.String("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
			columns.Age(),
		},
		Cells: func(p *arv1.ValidatingAdmissionPolicy, now time.Time) []any {
			return []any{p.Name, int64(len(p.Spec.Validations)), paramKindCell(p.Spec.ParamKind), columns.Since(p.CreationTimestamp, now)}
		},
	}.Define()
}

func validatingHead(p *arv1.ValidatingAdmissionPolicy) policyHead {
	s := &p.Spec
	return policyHead{s.FailurePolicy, s.ParamKind, s.MatchConstraints, s.MatchConditions}
}

// storedExpressions are those that are stored already, by where they stand.
type storedExpressions struct{ validations, messages, annotations []string }

func expressionsOf(p *arv1.ValidatingAdmissionPolicy) storedExpressions {
	var s storedExpressions
	for _, v := range p.Spec.Validations {
		s.validations = append(s.validations, v.Expression)
		s.messages = append(s.messages, v.MessageExpression)
	}
	for _, a := range p.Spec.AuditAnnotations {
		s.annotations = append(s.annotations, a.ValueExpression)
	}
	return s
}

const (
	maxAnnotations = 20
	// maxAnnotation is the length in bytes of an expression that computes the
	// value of an annotation.
	maxAnnotation = 5 << 10
)

func validateValidatingPolicy(p *arv1.ValidatingAdmissionPolicy, r conditionRules, stored storedExpressions) field.ErrorList {
	at, s := field.NewPath("spec"), &p.Spec
	head := validatingHead(p)
	errs := head.validate(at)
	errs = append(errs, head.validateConditions(r, at)...)
	c := expression.NewCompiler
	if len(s.Variables) == 0 {
		c = expression.Plain
	}
	v := validations{params: s.ParamKind != nil, stored: stored, compiler: lazily(c)}
	if len(s.Variables) > 0 {
		errs = append(errs, validateVariables(v.compiler(), s.Variables, expression.Sees{Params: v.params, Authorizer: true}, stored.validations, at.Child("variables"))...)
	}
	if len(s.Validations) == 0 && len(s.AuditAnnotations) == 0 {
		const none = "validations or auditAnnotations must contain at least one item"
		return append(errs, field.Required(at.Child("validations"), none), field.Required(at.Child("auditAnnotations"), none))
	}
	for i := range s.Validations {
		errs = append(errs, v.validation(&s.Validations[i], at.Child("validations").Index(i))...)
	}
	if len(s.AuditAnnotations) > maxAnnotations {
		errs = append(errs, field.Invalid(at.Child("auditAnnotations"), check.GoForm{Value: s.AuditAnnotations}, fmt.Sprintf("must not have more than %d auditAnnotations", maxAnnotations)))
	}
	keys := map[string]bool{}
	for i := range s.AuditAnnotations {
		a, at := &s.AuditAnnotations[i], at.Child("auditAnnotations").Index(i)
		errs = append(errs, v.annotation(p.Name, a, at)...)
		if keys[a.Key] {
			errs = append(errs, field.Duplicate(at.Child("key"), a.Key))
		}
		keys[a.Key] = true
	}
	return errs
}

// lazily makes a compiler when it is first needed.
func lazily(make func() *expression.Compiler) func() *expression.Compiler {
	var c *expression.Compiler
	return func() *expression.Compiler {
		if c == nil {
			c = make()
		}
		return c
	}
}

// validations checks the expressions of a validating policy.
type validations struct {
	compiler func() *expression.Compiler
	params   bool
	stored   storedExpressions
}

var reasons = []metav1.StatusReason{metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonRequestEntityTooLarge}

func (c *validations) validation(v *arv1.Validation, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.TrimSpace(v.Expression) == "" {
		errs = append(errs, field.Required(at.Child("expression"), "expression is not specified"))
	} else {
		sees := expression.Sees{Params: c.params, Authorizer: true}
		errs = append(errs, compiled(c.compiler().Compile(v.Expression, sees, age(v.Expression, c.stored.validations), expression.Bool), at.Child("expression"))...)
	}
	const empty = "must be non-empty if specified"
	if m := v.MessageExpression; m != "" && strings.TrimSpace(m) == "" {
		errs = append(errs, field.Invalid(at.Child("messageExpression"), m, empty))
	} else if m != "" {
		errs = append(errs, compiled(c.compiler().Compile(m, expression.Sees{Params: c.params}, age(m, c.stored.messages), expression.String), at.Child("messageExpression"))...)
	}
	if m := strings.TrimSpace(v.Message); v.Message != "" && m == "" {
		errs = append(errs, field.Invalid(at.Child("message"), v.Message, empty))
	} else if strings.ContainsAny(m, "\n\r") {
		errs = append(errs, field.Invalid(at.Child("message"), v.Message, "must not contain line breaks"))
	}
	return append(errs, optional(v.Reason, reasons, at.Child("reason"))...)
}

func (c *validations) annotation(policy string, a *arv1.AuditAnnotation, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if policy == "" {
		errs = append(errs, field.Invalid(at.Child("key"), a.Key, "requires metadata.name be non-empty"))
	} else {
		errs = append(errs, check.QualifiedName(policy+"/"+a.Key, at.Child("key"))...)
	}
	value := at.Child("valueExpression")
	switch text := strings.TrimSpace(a.ValueExpression); {
	case text == "":
		errs = append(errs, field.Required(value, "valueExpression is not specified"))
	case len(text) > maxAnnotation:
		errs = append(errs, field.Required(value, fmt.Sprintf("must not exceed %d bytes in length", maxAnnotation)))
	default:
		sees := expression.Sees{Params: c.params, Authorizer: true}
		p := c.compiler().Compile(text, sees, age(a.ValueExpression, c.stored.annotations), expression.String, expression.Null)
		p.Text = a.ValueExpression // as the author has written it
		errs = append(errs, compiled(p, value)...)
	}
	return errs
}

func validateValidatingStatus(s *arv1.ValidatingAdmissionPolicyStatus) field.ErrorList {
	at := field.NewPath("status")
	var errs field.ErrorList
	if s.TypeChecking != nil {
		for i, w := range s.TypeChecking.ExpressionWarnings {
			at := at.Child("typeChecking", "expressionWarnings").Index(i)
			if w.Warning == "" {
				errs = append(errs, field.Required(at.Child("warning"), ""))
			}
			errs = append(errs, validateFieldRef(strings.TrimSpace(w.FieldRef), at.Child("fieldRef"))...)
		}
	}
	return append(errs, metavalidation.ValidateConditions(s.Conditions, at.Child("conditions"))...)
}

func validateFieldRef(ref string, at *field.Path) field.ErrorList {
	if ref == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if err := jsonpath.New("spec").Parse("{" + ref + "}"); err != nil {
		return field.ErrorList{field.Invalid(at, ref, fmt.Sprintf("invalid JSONPath: %v", err))}
	}
	return nil
}
