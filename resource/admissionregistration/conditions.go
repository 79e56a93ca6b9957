package admissionregistration

import (
	"slices"
	"strings"

	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kubecel "k8s.io/apiserver/pkg/cel"

	"proa/admission/expression"
	"proa/resource/check"
)

const maxConditions = 64

// conditionRules say how match conditions are checked.
type conditionRules struct {
	// skip: they are what is stored already.
	skip bool
	// stored are expressions that are stored already.
	stored []string
	params bool
}

func validateConditions(conditions []arv1.MatchCondition, r conditionRules, at *field.Path) field.ErrorList {
	if r.skip {
		return nil
	}
	var errs field.ErrorList
	if len(conditions) > maxConditions {
		errs = append(errs, field.TooMany(at, len(conditions), maxConditions))
	}
	names := map[string]bool{}
	for i, c := range conditions {
		if text := strings.TrimSpace(c.Expression); text == "" {
			errs = append(errs, field.Required(at.Index(i).Child("expression"), ""))
		} else {
			sees := expression.Sees{Params: r.params, Authorizer: true}
			errs = append(errs, compiled(expression.Plain().Compile(text, sees, age(text, r.stored), expression.Bool), at.Index(i).Child("expression"))...)
		}
		if c.Name == "" {
			errs = append(errs, field.Required(at.Index(i).Child("name"), ""))
			continue
		}
		errs = append(errs, check.QualifiedName(c.Name, at.Index(i).Child("name"))...)
		if names[c.Name] {
			errs = append(errs, field.Duplicate(at.Index(i).Child("name"), c.Name))
		}
		names[c.Name] = true
	}
	return errs
}

// age of an expression, given those that are stored already.
func age(text string, stored []string) expression.Age {
	if slices.Contains(stored, text) {
		return expression.Stored
	}
	return expression.New
}

// compiled reports why an expression does not compile.
func compiled(p *expression.Program, at *field.Path) field.ErrorList {
	switch {
	case p.Err == nil:
		return nil
	case p.Err.Type == kubecel.ErrorTypeInvalid:
		return field.ErrorList{field.Invalid(at, p.Text, p.Err.Detail)}
	}
	return field.ErrorList{field.InternalError(at, p.Err)}
}
