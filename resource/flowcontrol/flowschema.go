package flowcontrol

import (
	"cmp"
	"fmt"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// defaultPrecedence is that of a schema that does not say.
const defaultPrecedence = 1000

// FlowSchema is the row of flow schemas.
func FlowSchema() *resource.Definition {
	spec := flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()
	return resource.Row[*flowcontrolv1.FlowSchema]{
		Storage:       flowcontrolv1.SchemeGroupVersion,
		Kind:          "FlowSchema",
		Plural:        "flowschemas",
		ClusterScoped: true,
		New:           func() *flowcontrolv1.FlowSchema { return new(flowcontrolv1.FlowSchema) },
		NewList:       func() runtime.Object { return new(flowcontrolv1.FlowSchemaList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Default: func(s *flowcontrolv1.FlowSchema) {
			s.Spec.MatchingPrecedence = cmp.Or(s.Spec.MatchingPrecedence, defaultPrecedence)
		},
		PrepareCreate: func(_ *resource.Request, s *flowcontrolv1.FlowSchema) { s.Status = flowcontrolv1.FlowSchemaStatus{} },
		PrepareUpdate: func(_ *resource.Request, s, old *flowcontrolv1.FlowSchema) { s.Status = *old.Status.DeepCopy() },
		Validate:      validateFlowSchema,
		ValidateUpdate: func(s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
			return validateFlowSchema(s)
		},
		Updates: map[string]resource.Update[*flowcontrolv1.FlowSchema]{"status": {
			Restored: []string{"metadata"},
			PrepareUpdate: func(_ *resource.Request, s, old *flowcontrolv1.FlowSchema) {
				s.Spec = *old.Spec.DeepCopy()
				onlyManagedFields(&s.ObjectMeta, &old.ObjectMeta)
			},
			ValidateUpdate: func(s, _ *flowcontrolv1.FlowSchema) field.ErrorList { return validateSchemaStatus(s) },
		}},
		Spec: func(s *flowcontrolv1.FlowSchema) any { return &s.Spec },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("PriorityLevel", flowcontrolv1.PriorityLevelConfigurationReference{}.SwaggerDoc()["name"]),
			columns.String("MatchingPrecedence", spec["matchingPrecedence"]),
			columns.String("DistinguisherMethod", spec["distinguisherMethod"]),
			columns.Age(),
			columns.String("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
		},
		Cells: func(s *flowcontrolv1.FlowSchema, now time.Time) []any {
			method, missing := columns.None, "?"
			if m := s.Spec.DistinguisherMethod; m != nil {
				method = string(m.Type)
			}
			for _, c := range s.Status.Conditions {
				if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
					missing = string(c.Status)
					break
				}
			}
			return []any{
				s.Name, s.Spec.PriorityLevelConfiguration.Name, int64(s.Spec.MatchingPrecedence), method,
				columns.Since(s.CreationTimestamp, now), missing,
			}
		},
		Order: func(a, b *flowcontrolv1.FlowSchema) int {
			return cmp.Or(cmp.Compare(a.Spec.MatchingPrecedence, b.Spec.MatchingPrecedence), cmp.Compare(a.Name, b.Name))
		},
	}.Define()
}

// onlyManagedFields: a status is written without any other metadata.
func onlyManagedFields(m, old *metav1.ObjectMeta) {
	fields := m.ManagedFields
	*m = *old.DeepCopy()
	m.ManagedFields = fields
}

func validateFlowSchema(s *flowcontrolv1.FlowSchema) field.ErrorList {
	at := field.NewPath("spec")
	errs := validateSchemaSpec(s.Name, &s.Spec, at)
	for _, m := range bootstrap.MandatoryFlowSchemas {
		if m.Name == s.Name && !check.Equal(&s.Spec, &m.Spec) {
			errs = append(errs, field.Invalid(at, check.GoForm{Value: s.Spec}, fmt.Sprintf("spec of '%s' must equal the fixed value", s.Name)))
		}
	}
	return append(errs, validateSchemaStatus(s)...)
}

func validateSchemaStatus(s *flowcontrolv1.FlowSchema) field.ErrorList {
	return conditions(s.Status.Conditions, func(c flowcontrolv1.FlowSchemaCondition) flowcontrolv1.FlowSchemaConditionType { return c.Type })
}

// conditions have types, each its own.
func conditions[C any, T ~string](cs []C, typeOf func(C) T) field.ErrorList {
	var errs field.ErrorList
	seen := map[T]bool{}
	for i, c := range cs {
		t, at := typeOf(c), field.NewPath("status", "conditions").Index(i).Child("type")
		if seen[t] {
			errs = append(errs, field.Duplicate(at, t))
		}
		seen[t] = true
		if t == "" {
			errs = append(errs, field.Required(at, ""))
		}
	}
	return errs
}

func validateSchemaSpec(name string, s *flowcontrolv1.FlowSchemaSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	precedence := at.Child("matchingPrecedence")
	if s.MatchingPrecedence <= 0 {
		errs = append(errs, field.Invalid(precedence, s.MatchingPrecedence, "must be a positive value"))
	}
	if s.MatchingPrecedence > flowcontrolv1.FlowSchemaMaxMatchingPrecedence {
		errs = append(errs, field.Invalid(precedence, s.MatchingPrecedence, fmt.Sprintf("must not be greater than %v", flowcontrolv1.FlowSchemaMaxMatchingPrecedence)))
	}
	if s.MatchingPrecedence == 1 && name != flowcontrolv1.FlowSchemaNameExempt {
		errs = append(errs, field.Invalid(precedence, s.MatchingPrecedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	if m := s.DistinguisherMethod; m != nil && m.Type != flowcontrolv1.FlowDistinguisherMethodByNamespaceType && m.Type != flowcontrolv1.FlowDistinguisherMethodByUserType {
		errs = append(errs, field.NotSupported(at.Child("distinguisherMethod", "type"), check.GoForm{Value: m}, []flowcontrolv1.FlowDistinguisherMethodType{
			flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType,
		}))
	}
	level := at.Child("priorityLevelConfiguration", "name")
	if n := s.PriorityLevelConfiguration.Name; n == "" {
		errs = append(errs, field.Required(level, "must reference a priority level"))
	} else {
		errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(n, false), n, level)...)
	}
	for i := range s.Rules {
		errs = append(errs, validateRule(&s.Rules[i], at.Child("rules").Index(i))...)
	}
	return errs
}
