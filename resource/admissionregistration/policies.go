package admissionregistration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/admission/expression"
	"proa/resource/check"
	"proa/resource/columns"
)

// What the two kinds of policies, and those of their bindings, have in common.

// staticSuffix ends the names of policies and webhooks that a server reads from
// files.
const staticSuffix = ".static.k8s.io"

func warnings(name string) []string {
	if !strings.HasSuffix(name, staticSuffix) {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: names ending with %q are reserved for static manifest-based configurations and cannot be managed via the API", staticSuffix)}
}

// policyHead is the part of a policy that both kinds begin with.
type policyHead struct {
	failurePolicy *arv1.FailurePolicyType
	paramKind     *arv1.ParamKind
	match         *arv1.MatchResources
	conditions    []arv1.MatchCondition
}

func (h policyHead) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if h.failurePolicy == nil {
		errs = append(errs, field.Required(at.Child("failurePolicy"), ""))
	}
	errs = append(errs, optional(h.failurePolicy, failurePolicies, at.Child("failurePolicy"))...)
	if h.paramKind != nil {
		errs = append(errs, validateParamKind(h.paramKind, at.Child("paramKind"))...)
	}
	if h.match == nil {
		errs = append(errs, field.Required(at.Child("matchConstraints"), ""))
	} else {
		errs = append(errs, validateMatch(h.match, at.Child("matchConstraints"))...)
		if len(h.match.ResourceRules) == 0 {
			errs = append(errs, field.Required(at.Child("matchConstraints", "resourceRules"), ""))
		}
	}
	return errs
}

func (h policyHead) validateConditions(r conditionRules, at *field.Path) field.ErrorList {
	r.params = h.paramKind != nil
	return validateConditions(h.conditions, r, at.Child("matchConditions"))
}

// conditionsAfter are the rules for the match conditions of a policy that
// replaces another.
func conditionsAfter(h, was policyHead) conditionRules {
	r := conditionRules{skip: check.Equal(h.paramKind, was.paramKind) && slices.Equal(h.conditions, was.conditions)}
	for _, c := range was.conditions {
		r.stored = append(r.stored, c.Expression)
	}
	return r
}

func validateParamKind(k *arv1.ParamKind, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	apiVersion := at.Child("apiVersion")
	group, version, hasGroup := strings.Cut(k.APIVersion, "/")
	if !hasGroup {
		group, version = "", k.APIVersion
	}
	switch {
	case k.APIVersion == "":
		errs = append(errs, field.Required(apiVersion, ""))
	case strings.Contains(version, "/"):
		errs = append(errs, field.Invalid(apiVersion, k.APIVersion, "unexpected GroupVersion string: "+k.APIVersion))
	default:
		if group != "" {
			errs = append(errs, inOne(validation.IsDNS1123Subdomain(group), group, "", apiVersion)...)
		}
		if version == "" {
			errs = append(errs, field.Invalid(apiVersion, k.APIVersion, "version must be specified"))
		} else {
			errs = append(errs, inOne(validation.IsDNS1035Label(version), version, "", apiVersion)...)
		}
	}
	if k.Kind == "" {
		return append(errs, field.Required(at.Child("kind"), ""))
	}
	return append(errs, inOne(validation.IsDNS1035Label(strings.ToLower(k.Kind)), k.Kind, "may have mixed case, but should otherwise match: ", at.Child("kind"))...)
}

// inOne makes one error of several messages.
func inOne(messages []string, value, before string, at *field.Path) field.ErrorList {
	if len(messages) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, value, before+strings.Join(messages, ","))}
}

var identifier = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// reserved words are no identifiers in CEL.
var reserved = []string{
	"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
	"let", "loop", "package", "namespace", "return", "var", "void", "while",
}

// validateVariables checks variables and declares them for what comes after.
func validateVariables(c *expression.Compiler, variables []arv1.Variable, sees expression.Sees, stored []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, v := range variables {
		at := at.Index(i)
		if strings.TrimSpace(v.Name) == "" {
			errs = append(errs, field.Required(at.Child("name"), "name is not specified"))
		} else if !identifier.MatchString(v.Name) || slices.Contains(reserved, v.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), v.Name, "must be a valid CEL identifier"))
		}
		if strings.TrimSpace(v.Expression) == "" {
			errs = append(errs, field.Required(at.Child("expression"), "expression is not specified"))
			continue
		}
		errs = append(errs, compiled(c.Declare(v.Name, v.Expression, sees, age(v.Expression, stored)), at.Child("expression"))...)
	}
	return errs
}

func validatePolicyName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return check.Messages(apivalidation.NameIsDNSSubdomain(name, false), name, at)
}

var notFoundActions = []arv1.ParameterNotFoundActionType{arv1.DenyAction, arv1.AllowAction}

func validateParamRef(r *arv1.ParamRef, at *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	const exclusive = "name and selector are mutually exclusive"
	var errs field.ErrorList
	if r.Name != "" {
		errs = append(errs, check.Messages(content.IsPathSegmentName(r.Name), r.Name, at.Child("name"))...)
		if r.Selector != nil {
			errs = append(errs, field.Forbidden(at.Child("name"), exclusive))
		}
	}
	if r.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(r.Selector, metavalidation.LabelSelectorValidationOptions{}, at.Child("selector"))...)
		if r.Name != "" {
			errs = append(errs, field.Forbidden(at.Child("selector"), exclusive))
		}
	}
	if r.Name == "" && r.Selector == nil {
		errs = append(errs, field.Required(at, "one of name or selector must be specified"))
	}
	action := at.Child("parameterNotFoundAction")
	if r.ParameterNotFoundAction == nil || *r.ParameterNotFoundAction == "" {
		return append(errs, field.Required(action, ""))
	}
	return append(errs, check.OneOf(*r.ParameterNotFoundAction, notFoundActions, action)...)
}

// paramKindCell prints the kind of a policy's parameters.
func paramKindCell(k *arv1.ParamKind) string {
	if k == nil {
		return columns.Unset
	}
	return k.APIVersion + "/" + k.Kind
}

// paramRefCell prints where a binding finds its parameters. Whether they lie in
// a namespace is not to be seen from here.
func paramRefCell(r *arv1.ParamRef) string {
	switch {
	case r == nil || r.Name == "" && r.Selector == nil:
		return columns.Unset
	case r.Name == "":
		return r.Selector.String()
	case r.Namespace == "":
		return "*/" + r.Name
	}
	return r.Namespace + "/" + r.Name
}
