package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"proa/auth"
)

// verbSet is a set of the verbs that have a bit of their own.
type verbSet uint16

const allVerbs verbSet = 1 << 15

func verbBit(verb string) verbSet {
	switch verb {
	case "get":
		return 1 << 0
	case "list":
		return 1 << 1
	case "watch":
		return 1 << 2
	case "create":
		return 1 << 3
	case "update":
		return 1 << 4
	case "patch":
		return 1 << 5
	case "delete":
		return 1 << 6
	case "deletecollection":
		return 1 << 7
	case rbacv1.VerbAll:
		return allVerbs
	}
	return 0
}

// rules are the rules of a role in a form that is quick to ask.
type rules struct {
	source []rbacv1.PolicyRule
	list   []rule
}

type rule struct {
	verbs      verbSet
	otherVerbs []string // those without a bit

	allGroups    bool
	groups       []string
	allResources bool
	resources    []resourceName
	names        []string // none: every name

	allPaths bool
	paths    []string // exact
	prefixes []string // were written with a * at the end
}

// resourceName is a resource as rules write it: "pods", "pods/log" or
// "*/scale".
type resourceName struct{ resource, subresource string }

func compile(source []rbacv1.PolicyRule) *rules {
	c := &rules{source: source, list: make([]rule, len(source))}
	for i := range source {
		compileRule(&c.list[i], &source[i])
	}
	return c
}

func compileRule(r *rule, s *rbacv1.PolicyRule) {
	for _, v := range s.Verbs {
		if b := verbBit(v); b != 0 {
			r.verbs |= b
		} else {
			r.otherVerbs = append(r.otherVerbs, v)
		}
	}
	r.groups, r.allGroups = s.APIGroups, slices.Contains(s.APIGroups, rbacv1.APIGroupAll)
	for _, name := range s.Resources {
		if name == rbacv1.ResourceAll {
			r.allResources = true
			continue
		}
		res, sub, _ := strings.Cut(name, "/")
		r.resources = append(r.resources, resourceName{res, sub})
	}
	r.names = s.ResourceNames
	for _, p := range s.NonResourceURLs {
		switch {
		case p == rbacv1.NonResourceAll:
			r.allPaths = true
		case strings.HasSuffix(p, "*"):
			r.prefixes = append(r.prefixes, strings.TrimRight(p, "*"))
		default:
			r.paths = append(r.paths, p)
		}
	}
}

// allow reports whether one of the rules allows what a asks. bit is the bit of
// a's verb.
func (c *rules) allow(a *auth.Attributes, bit verbSet) bool {
	for i := range c.list {
		r := &c.list[i]
		if r.verbs&(bit|allVerbs) == 0 && (bit != 0 || !slices.Contains(r.otherVerbs, a.Verb)) {
			continue
		}
		if a.IsResource {
			if r.allowResource(a) {
				return true
			}
		} else if r.allowPath(a.Path) {
			return true
		}
	}
	return false
}

func (r *rule) allowResource(a *auth.Attributes) bool {
	if !r.allGroups && !slices.Contains(r.groups, a.Group) {
		return false
	}
	if !r.allResources && !r.hasResource(a) {
		return false
	}
	return len(r.names) == 0 || slices.Contains(r.names, a.Name)
}

func (r *rule) hasResource(a *auth.Attributes) bool {
	for i := range r.resources {
		n := &r.resources[i]
		if n.subresource != a.Subresource {
			continue
		}
		// "*/scale" is the scale of everything. A bare "*" is allResources.
		if n.resource == a.Resource || (n.resource == rbacv1.ResourceAll && n.subresource != "") {
			return true
		}
	}
	return false
}

func (r *rule) allowPath(path string) bool {
	if r.allPaths || slices.Contains(r.paths, path) {
		return true
	}
	for _, p := range r.prefixes {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// RuleSet is a fixed set of rules that questions can be held against.
// Immutable.
type RuleSet struct{ rules *rules }

// NewRuleSet makes a set of the rules.
func NewRuleSet(list []rbacv1.PolicyRule) *RuleSet { return &RuleSet{compile(list)} }

// Allow reports whether one of the rules allows what a asks.
func (s *RuleSet) Allow(a *auth.Attributes) bool { return s.rules.allow(a, verbBit(a.Verb)) }
