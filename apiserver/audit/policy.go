package audit

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"proa/auth"
)

// Policy says which requests are logged, and how much of them. It is immutable.
type Policy struct{ policy auditv1.Policy }

var (
	levels = []auditv1.Level{auditv1.LevelMetadata, auditv1.LevelNone, auditv1.LevelRequest, auditv1.LevelRequestResponse}
	stages = []auditv1.Stage{auditv1.StagePanic, auditv1.StageRequestReceived, auditv1.StageResponseComplete, auditv1.StageResponseStarted}
)

// LoadPolicy reads a policy from a file.
func LoadPolicy(file string) (*Policy, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("audit policy: %w", err)
	}
	p, err := ParsePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("audit policy %s: %w", file, err)
	}
	return p, nil
}

// ParsePolicy reads a policy in YAML or JSON, and refuses one that says what it
// cannot mean.
func ParsePolicy(b []byte) (*Policy, error) {
	p := &Policy{}
	if err := yaml.UnmarshalStrict(b, &p.policy); err != nil {
		return nil, err
	}
	if got, want := p.policy.GroupVersionKind(), auditv1.SchemeGroupVersion.WithKind("Policy"); got != want {
		return nil, fmt.Errorf("it is a %s, not a %s", got, want)
	}
	if len(p.policy.Rules) == 0 {
		return nil, fmt.Errorf("it has no rules, so that nothing would be logged")
	}
	return p, validate(&p.policy).ToAggregate()
}

func validate(p *auditv1.Policy) field.ErrorList {
	errs := validateStages(p.OmitStages, field.NewPath("omitStages"))
	for i := range p.Rules {
		r, at := &p.Rules[i], field.NewPath("rules").Index(i)
		if !slices.Contains(levels, r.Level) {
			errs = append(errs, field.NotSupported(at.Child("level"), r.Level, levels))
		}
		errs = append(errs, validateStages(r.OmitStages, at.Child("omitStages"))...)
		if len(r.NonResourceURLs) > 0 && len(r.Resources)+len(r.Namespaces) > 0 {
			errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
		}
		for j, u := range r.NonResourceURLs {
			if u != "*" && (!strings.HasPrefix(u, "/") || strings.Contains(strings.TrimSuffix(u, "*"), "*")) {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs").Index(j), u, "must be '*', or begin with a '/' and have a '*' only at its end"))
			}
		}
		for j, g := range r.Resources {
			at := at.Child("resources").Index(j)
			if g.Group != "" {
				for _, m := range validation.IsDNS1123Subdomain(g.Group) {
					errs = append(errs, field.Invalid(at.Child("group"), g.Group, m))
				}
			}
			if len(g.ResourceNames) > 0 && len(g.Resources) == 0 {
				errs = append(errs, field.Invalid(at.Child("resourceNames"), g.ResourceNames, "using resourceNames requires at least one resource"))
			}
		}
	}
	return errs
}

func validateStages(given []auditv1.Stage, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range given {
		if !slices.Contains(stages, s) {
			errs = append(errs, field.NotSupported(at.Index(i), s, stages))
		}
	}
	return errs
}

// verdict is how a request is logged.
type verdict struct {
	level             auditv1.Level
	omit              []auditv1.Stage
	omitManagedFields bool
}

// decide goes by the first rule that matches.
func (p *Policy) decide(a *auth.Attributes) verdict {
	for i := range p.policy.Rules {
		r := &p.policy.Rules[i]
		if !matches(r, a) {
			continue
		}
		v := verdict{r.Level, slices.Concat(p.policy.OmitStages, r.OmitStages), p.policy.OmitManagedFields}
		if r.OmitManagedFields != nil {
			v.omitManagedFields = *r.OmitManagedFields
		}
		return v
	}
	return verdict{level: auditv1.LevelNone}
}

func matches(r *auditv1.PolicyRule, a *auth.Attributes) bool {
	if len(r.Users) > 0 && (a.User == nil || !slices.Contains(r.Users, a.User.Name)) {
		return false
	}
	if len(r.UserGroups) > 0 && (a.User == nil || !slices.ContainsFunc(r.UserGroups, a.User.InGroup)) {
		return false
	}
	if len(r.Verbs) > 0 && !slices.Contains(r.Verbs, a.Verb) {
		return false
	}
	switch {
	case len(r.Namespaces) > 0 || len(r.Resources) > 0:
		return matchesResource(r, a)
	case len(r.NonResourceURLs) > 0:
		return !a.IsResource && slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
			prefix, open := strings.CutSuffix(u, "*")
			return u == a.Path || open && strings.HasPrefix(a.Path, prefix)
		})
	}
	return true
}

func matchesResource(r *auditv1.PolicyRule, a *auth.Attributes) bool {
	if !a.IsResource || len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, a.Namespace) {
		return false
	}
	if len(r.Resources) == 0 {
		return true
	}
	asked := []string{a.Resource, "*"}
	if a.Subresource != "" {
		asked = []string{a.Resource + "/" + a.Subresource, a.Resource + "/*", "*/" + a.Subresource, "*"}
	}
	return slices.ContainsFunc(r.Resources, func(g auditv1.GroupResources) bool {
		if g.Group != a.Group || len(g.ResourceNames) > 0 && !slices.Contains(g.ResourceNames, a.Name) {
			return false
		}
		return len(g.Resources) == 0 || slices.ContainsFunc(asked, func(s string) bool { return slices.Contains(g.Resources, s) })
	})
}
