package policystatus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/admission/expression"
)

// maxKinds bounds against how many kinds a policy is checked.
const maxKinds = 10

// resources are those that the rules of a policy name. A rule with a wildcard
// names none.
func resources(p *arv1.ValidatingAdmissionPolicy) []schema.GroupVersionResource {
	if p.Spec.MatchConstraints == nil {
		return nil
	}
	var named []schema.GroupVersionResource
	for _, r := range p.Spec.MatchConstraints.ResourceRules {
		if wild(r.APIGroups) || wild(r.APIVersions) {
			continue
		}
		for _, group := range sortedStrings(r.APIGroups) {
			for _, version := range sortedStrings(r.APIVersions) {
				for _, name := range sortedStrings(r.Resources) {
					if !strings.ContainsAny(name, "*/") {
						named = append(named, schema.GroupVersionResource{Group: group, Version: version, Resource: name})
					}
				}
			}
		}
	}
	return named
}

func wild(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "*") })
}

func sortedStrings(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// sorted puts kinds in order, each once.
func sorted(kinds []schema.GroupVersionKind) []schema.GroupVersionKind {
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Kind, b.Kind))
	})
	kinds = slices.Compact(kinds)
	return kinds[:min(len(kinds), maxKinds)]
}

// check checks the expressions of a policy against each of the kinds that have
// a schema.
func check(p *arv1.ValidatingAdmissionPolicy, kinds []schema.GroupVersionKind, resolve func(schema.GroupVersionKind) *spec.Schema) []arv1.ExpressionWarning {
	type against struct {
		kind    schema.GroupVersionKind
		checker *expression.Checker
	}
	var params *spec.Schema
	if k := p.Spec.ParamKind; k != nil {
		if gv, err := schema.ParseGroupVersion(k.APIVersion); err == nil {
			params = resolve(gv.WithKind(k.Kind))
		}
	}
	var all []against
	for _, k := range kinds {
		if s := resolve(k); s != nil {
			all = append(all, against{k, expression.NewChecker(k, s, p.Spec.ParamKind != nil, params, p.Spec.Variables)})
		}
	}
	var warnings []arv1.ExpressionWarning
	look := func(at *field.Path, text string) {
		var found []string
		for _, a := range all {
			issues, err := a.checker.Check(text)
			switch {
			case err != nil:
				found = append(found, fmt.Sprintf("%v: type checking error: %v\n", a.kind, err))
			case issues != "":
				found = append(found, fmt.Sprintf("%v: %s\n", a.kind, issues))
			}
		}
		if len(found) > 0 {
			warnings = append(warnings, arv1.ExpressionWarning{FieldRef: at.String(), Warning: strings.Join(found, "\n")})
		}
	}
	for i, v := range p.Spec.Validations {
		at := field.NewPath("spec", "validations").Index(i)
		look(at.Child("expression"), v.Expression)
		if v.MessageExpression != "" {
			look(at.Child("messageExpression"), v.MessageExpression)
		}
	}
	return warnings
}
