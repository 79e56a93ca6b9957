package fairness

import (
	"cmp"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"

	"proa/apiserver/request"
	"proa/auth"
)

// schema is a flow schema that is ready to be matched, with its level.
type schema struct {
	name       string
	uid        string
	precedence int32
	method     flowcontrolv1.FlowDistinguisherMethodType
	rules      []rule
	level      *level
	levelUID   string
	counts     *counts
}

// rule is one of a schema's, with its subjects sorted apart.
type rule struct {
	anyUser        bool
	users, groups  []string
	accounts       []string // user names
	accountsOf     []string // prefixes of user names: all accounts of a namespace
	resources      []flowcontrolv1.ResourcePolicyRule
	paths          []flowcontrolv1.NonResourcePolicyRule
	anyGroupMember bool
}

// compile makes the rules of a schema.
func compile(s *flowcontrolv1.FlowSchemaSpec) []rule {
	var out []rule
	for _, r := range s.Rules {
		c := rule{resources: r.ResourceRules, paths: r.NonResourceRules}
		for _, s := range r.Subjects {
			switch {
			case s.Kind == flowcontrolv1.SubjectKindUser && s.User != nil:
				if s.User.Name == flowcontrolv1.NameAll {
					c.anyUser = true
				}
				c.users = append(c.users, s.User.Name)
			case s.Kind == flowcontrolv1.SubjectKindGroup && s.Group != nil:
				if s.Group.Name == flowcontrolv1.NameAll {
					c.anyGroupMember = true
				}
				c.groups = append(c.groups, s.Group.Name)
			case s.Kind == flowcontrolv1.SubjectKindServiceAccount && s.ServiceAccount != nil:
				prefix := auth.ServiceAccountPrefix + s.ServiceAccount.Namespace + ":"
				if s.ServiceAccount.Name == flowcontrolv1.NameAll {
					c.accountsOf = append(c.accountsOf, prefix)
				} else {
					c.accounts = append(c.accounts, prefix+s.ServiceAccount.Name)
				}
			}
		}
		out = append(out, c)
	}
	return out
}

// sortSchemas puts schemas into the order in which they are tried.
func sortSchemas(s []*schema) {
	slices.SortFunc(s, func(a, b *schema) int {
		return cmp.Or(cmp.Compare(a.precedence, b.precedence), cmp.Compare(a.name, b.name))
	})
}

// match finds the schema of a request: the first that fits, or nil.
func match(schemas []*schema, u *auth.User, i *request.Info) *schema {
	for _, s := range schemas {
		for j := range s.rules {
			if r := &s.rules[j]; r.about(u) && r.covers(i) {
				return s
			}
		}
	}
	return nil
}

// about reports whether the user is a subject of the rule.
func (r *rule) about(u *auth.User) bool {
	if u == nil {
		return false
	}
	if r.anyUser || r.anyGroupMember && len(u.Groups) > 0 {
		return true
	}
	for _, g := range r.groups {
		if u.InGroup(g) {
			return true
		}
	}
	if slices.Contains(r.users, u.Name) || slices.Contains(r.accounts, u.Name) {
		return true
	}
	return slices.ContainsFunc(r.accountsOf, func(prefix string) bool { return strings.HasPrefix(u.Name, prefix) })
}

// covers reports whether the rule is for what the request asks.
func (r *rule) covers(i *request.Info) bool {
	if !i.IsResource {
		return slices.ContainsFunc(r.paths, func(p flowcontrolv1.NonResourcePolicyRule) bool {
			return has(p.Verbs, i.Verb) && slices.ContainsFunc(p.NonResourceURLs, func(pattern string) bool { return pathFits(pattern, i.Path) })
		})
	}
	for j := range r.resources {
		p := &r.resources[j]
		if !has(p.Verbs, i.Verb) || !has(p.APIGroups, i.Group) || !hasResource(p.Resources, i) {
			continue
		}
		if i.Namespace == "" && p.ClusterScope || i.Namespace != "" && has(p.Namespaces, i.Namespace) {
			return true
		}
	}
	return false
}

const all = "*"

func has(list []string, s string) bool {
	for _, v := range list {
		if v == s || v == all {
			return true
		}
	}
	return false
}

// hasResource: a subresource is named as "pods/status".
func hasResource(list []string, i *request.Info) bool {
	if i.Subresource == "" {
		return has(list, i.Resource)
	}
	for _, v := range list {
		if v == all {
			return true
		}
		if rest, ok := strings.CutPrefix(v, i.Resource); ok && len(rest) > 0 && rest[0] == '/' && rest[1:] == i.Subresource {
			return true
		}
	}
	return false
}

func pathFits(pattern, path string) bool {
	if pattern == all || pattern == path {
		return true
	}
	prefix, ok := strings.CutSuffix(pattern, all)
	return ok && strings.HasPrefix(path, prefix)
}

// flow tells the flows of a schema apart.
func (s *schema) flow(u *auth.User, i *request.Info) string {
	switch s.method {
	case flowcontrolv1.FlowDistinguisherMethodByUserType:
		return u.Name
	case flowcontrolv1.FlowDistinguisherMethodByNamespaceType:
		return i.Namespace
	}
	return ""
}
