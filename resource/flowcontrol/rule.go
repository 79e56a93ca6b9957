package flowcontrol

import (
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// all is what stands for everything in a rule.
const all = "*"

// verbs that rules may name, sorted.
var verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}

func validateRule(r *flowcontrolv1.PolicyRulesWithSubjects, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(at.Child("subjects"), "subjects must contain at least one value"))
	}
	for i := range r.Subjects {
		errs = append(errs, validateSubject(&r.Subjects[i], at.Child("subjects").Index(i))...)
	}
	if len(r.ResourceRules) == 0 && len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i := range r.ResourceRules {
		errs = append(errs, validateResourceRule(&r.ResourceRules[i], at.Child("resourceRules").Index(i))...)
	}
	for i := range r.NonResourceRules {
		errs = append(errs, validatePathRule(&r.NonResourceRules[i], at.Child("nonResourceRules").Index(i))...)
	}
	return errs
}

// validateSubject: a subject is what its kind says and nothing else.
func validateSubject(s *flowcontrolv1.Subject, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	name := func(name string, at *field.Path) {
		if name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		}
	}
	switch s.Kind {
	case flowcontrolv1.SubjectKindServiceAccount:
		errs = append(errs, validateAccount(s.ServiceAccount, at.Child("serviceAccount"))...)
	case flowcontrolv1.SubjectKindUser:
		if s.User == nil {
			errs = append(errs, field.Required(at.Child("user"), "user is required when subject kind is 'User'"))
		} else {
			name(s.User.Name, at.Child("user"))
		}
	case flowcontrolv1.SubjectKindGroup:
		if s.Group == nil {
			errs = append(errs, field.Required(at.Child("group"), "group is required when subject kind is 'Group'"))
		} else {
			name(s.Group.Name, at.Child("group"))
		}
	default:
		return field.ErrorList{field.NotSupported(at.Child("kind"), s.Kind, []flowcontrolv1.SubjectKind{
			flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser,
		})}
	}
	for _, other := range []struct {
		kind flowcontrolv1.SubjectKind
		name string
		set  bool
	}{
		{flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil},
		{flowcontrolv1.SubjectKindUser, "user", s.User != nil},
		{flowcontrolv1.SubjectKindGroup, "group", s.Group != nil},
	} {
		if other.set && other.kind != s.Kind {
			errs = append(errs, field.Forbidden(at.Child(other.name), other.name+" is forbidden when subject kind is not '"+string(other.kind)+"'"))
		}
	}
	return errs
}

func validateAccount(a *flowcontrolv1.ServiceAccountSubject, at *field.Path) field.ErrorList {
	if a == nil {
		return field.ErrorList{field.Required(at, "serviceAccount is required when subject kind is 'ServiceAccount'")}
	}
	var errs field.ErrorList
	if a.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else if a.Name != all {
		errs = append(errs, check.Messages(apivalidation.ValidateServiceAccountName(a.Name, false), a.Name, at.Child("name"))...)
	}
	if a.Namespace == "" {
		return append(errs, field.Required(at.Child("namespace"), "must specify namespace for service account"))
	}
	return append(errs, check.Messages(apivalidation.ValidateNamespaceName(a.Namespace, false), a.Namespace, at.Child("namespace"))...)
}

// alone: where a list holds the star, it holds nothing else.
func alone(list []string, what string, at *field.Path) field.ErrorList {
	if len(list) > 1 && slices.Contains(list, all) {
		return field.ErrorList{field.Invalid(at, list, "if '*' is present, must not specify other "+what)}
	}
	return nil
}

func validateVerbs(list []string, at *field.Path) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{field.Required(at, "verbs must contain at least one value")}
	}
	if slices.Contains(list, all) {
		return alone(list, "verbs", at)
	}
	for _, v := range list {
		if !slices.Contains(verbs, v) {
			return field.ErrorList{field.NotSupported(at, list, verbs)}
		}
	}
	return nil
}

func validateResourceRule(r *flowcontrolv1.ResourcePolicyRule, at *field.Path) field.ErrorList {
	errs := validateVerbs(r.Verbs, at.Child("verbs"))
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
	}
	errs = append(errs, alone(r.APIGroups, "api groups", at.Child("apiGroups"))...)
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
	}
	errs = append(errs, alone(r.Resources, "resources", at.Child("resources"))...)
	namespaces := at.Child("namespaces")
	switch {
	case len(r.Namespaces) == 0 && !r.ClusterScope:
		return append(errs, field.Required(namespaces, "resource rules that are not cluster scoped must supply at least one namespace"))
	case slices.Contains(r.Namespaces, all):
		return append(errs, alone(r.Namespaces, "namespaces", namespaces)...)
	}
	for i, n := range r.Namespaces {
		for _, m := range apivalidation.ValidateNamespaceName(n, false) {
			errs = append(errs, field.Invalid(namespaces.Index(i), n, "each member of this list must be '*' or a DNS-1123 label; "+m))
		}
	}
	return errs
}

func validatePathRule(r *flowcontrolv1.NonResourcePolicyRule, at *field.Path) field.ErrorList {
	errs := validateVerbs(r.Verbs, at.Child("verbs"))
	paths := at.Child("nonResourceURLs")
	switch {
	case len(r.NonResourceURLs) == 0:
		return append(errs, field.Required(paths, "nonResourceURLs must contain at least one value"))
	case slices.Contains(r.NonResourceURLs, all):
		return append(errs, alone(r.NonResourceURLs, "non-resource URLs", paths)...)
	}
	for i, p := range r.NonResourceURLs {
		if why := badPath(p); why != "" {
			errs = append(errs, field.Invalid(paths.Index(i), p, why))
		}
	}
	return errs
}

// badPath says why a path is none, or "". A star may end it.
func badPath(p string) string {
	switch stars := strings.Count(p, all); {
	case p == "":
		return "must not be empty"
	case p[0] != '/':
		return "must start with slash"
	case strings.Contains(p, " "):
		return "must not contain white-space"
	case strings.Contains(p, "//"):
		return "must not contain double slash"
	case stars > 1 || stars == 1 && !strings.HasSuffix(p, "/*"):
		return "wildcard can only do suffix matching"
	}
	return ""
}
