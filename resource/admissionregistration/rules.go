package admissionregistration

import (
	"fmt"
	"slices"
	"strings"

	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

const wildcard = "*"

var (
	operations = []arv1.OperationType{arv1.OperationAll, arv1.Connect, arv1.Create, arv1.Delete, arv1.Update}
	// mutable: what is deleted cannot be changed.
	mutable = []arv1.OperationType{arv1.OperationAll, arv1.Connect, arv1.Create, arv1.Update}
	scopes  = []arv1.ScopeType{arv1.AllScopes, arv1.ClusterScope, arv1.NamespacedScope}
)

// validateRule checks which requests a webhook or policy is about.
func validateRule(r *arv1.RuleWithOperations, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(at.Child("operations"), ""))
	}
	if len(r.Operations) > 1 && slices.Contains(r.Operations, arv1.OperationAll) {
		errs = append(errs, field.Invalid(at.Child("operations"), r.Operations, "if '*' is present, must not specify other operations"))
	}
	for i, o := range r.Operations {
		errs = append(errs, check.OneOf(o, operations, at.Child("operations").Index(i))...)
	}
	errs = append(errs, alone(r.APIGroups, "API groups", at.Child("apiGroups"))...)
	errs = append(errs, alone(r.APIVersions, "API versions", at.Child("apiVersions"))...)
	for i, v := range r.APIVersions {
		if v == "" {
			errs = append(errs, field.Required(at.Child("apiVersions").Index(i), ""))
		}
	}
	errs = append(errs, validateResources(r.Resources, at.Child("resources"))...)
	return append(errs, optional(r.Scope, scopes, at.Child("scope"))...)
}

// alone wants some values, or the wildcard and no other.
func alone(values []string, what string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(values) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if len(values) > 1 && slices.Contains(values, wildcard) {
		errs = append(errs, field.Invalid(at, values, "if '*' is present, must not specify other "+what))
	}
	return errs
}

// validateResources checks names of resources and subresources, of which no
// two may say the same.
func validateResources(names []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(names) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	allOf, everyones := map[string]bool{}, map[string]bool{} // x/*, */x
	plain := false
	for i, n := range names {
		if n == "" {
			errs = append(errs, field.Required(at.Index(i), ""))
			continue
		}
		name, sub, isSub := strings.Cut(n, "/")
		if !isSub {
			// Only the last one counts, as upstream has it.
			plain = n != wildcard
			continue
		}
		if allOf[name] {
			errs = append(errs, field.Invalid(at.Index(i), n, fmt.Sprintf("if '%s/*' is present, must not specify %s", name, n)))
		}
		if everyones[sub] {
			errs = append(errs, field.Invalid(at.Index(i), n, fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, n)))
		}
		if sub == wildcard {
			allOf[name] = true
		}
		if name == wildcard {
			everyones[sub] = true
		}
	}
	if len(names) > 1 && slices.Contains(names, "*/*") {
		errs = append(errs, field.Invalid(at, names, "if '*/*' is present, must not specify other resources"))
	}
	if plain && slices.Contains(names, wildcard) {
		errs = append(errs, field.Invalid(at, names, "if '*' is present, must not specify other resources without subresources"))
	}
	return errs
}

// validateMatch checks which requests a policy or binding is about.
func validateMatch(m *arv1.MatchResources, at *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	var errs field.ErrorList
	if m.MatchPolicy == nil {
		errs = append(errs, field.Required(at.Child("matchPolicy"), ""))
	}
	errs = append(errs, optional(m.MatchPolicy, matchPolicies, at.Child("matchPolicy"))...)
	for _, s := range []struct {
		name     string
		selector *metav1.LabelSelector
	}{{"namespaceSelector", m.NamespaceSelector}, {"objectSelector", m.ObjectSelector}} {
		if s.selector == nil {
			errs = append(errs, field.Required(at.Child(s.name), ""))
			continue
		}
		errs = append(errs, metavalidation.ValidateLabelSelector(s.selector, metavalidation.LabelSelectorValidationOptions{}, at.Child(s.name))...)
	}
	errs = append(errs, validateNamedRules(m.ResourceRules, at.Child("resourceRules"))...)
	return append(errs, validateNamedRules(m.ExcludeResourceRules, at.Child("excludeResourceRules"))...)
}

func validateNamedRules(rules []arv1.NamedRuleWithOperations, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range rules {
		names := rules[i].ResourceNames
		for j, n := range names {
			errs = append(errs, check.Messages(content.IsPathSegmentName(n), n, at.Index(i).Child("resourceNames").Index(j))...)
			if slices.Contains(names[:j], n) {
				errs = append(errs, field.Duplicate(at.Index(i).Child("resourceNames").Index(j), n))
			}
		}
		errs = append(errs, validateRule(&rules[i].RuleWithOperations, at.Index(i))...)
	}
	return errs
}

// onlyMutable refuses rules about operations of which nothing can be changed.
func onlyMutable(m *arv1.MatchResources, at *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	var errs field.ErrorList
	for _, r := range m.ResourceRules {
		for _, o := range r.Operations {
			errs = append(errs, check.OneOf(o, mutable, at.Child("resourceRules", "operations"))...)
		}
	}
	return errs
}

func defaultMatch(m *arv1.MatchResources) {
	if m == nil {
		return
	}
	setDefault(&m.MatchPolicy, arv1.Equivalent)
	setDefault(&m.NamespaceSelector, metav1.LabelSelector{})
	setDefault(&m.ObjectSelector, metav1.LabelSelector{})
	for _, rules := range [][]arv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			setDefault(&rules[i].Scope, arv1.AllScopes)
		}
	}
}
