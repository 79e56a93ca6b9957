package rbac

import (
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"proa/auth"
)

// Authorize implements [auth.Authorizer]: Allow where a rule allows it, and no
// opinion otherwise. Reasons then name roles that bindings of the user ask for
// and that do not exist.
func (x *Index) Authorize(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	if a.User == nil {
		return auth.NoOpinion, "", nil
	}
	bit := verbBit(a.Verb)
	var missing []*role
	if g := x.find(a, "", bit, &missing); g != nil {
		return auth.Allow, g.reason, nil
	}
	if a.Namespace != "" {
		if g := x.find(a, a.Namespace, bit, &missing); g != nil {
			return auth.Allow, g.reason, nil
		}
	}
	if len(missing) == 0 {
		return auth.NoOpinion, "", nil
	}
	return auth.NoOpinion, "RBAC: " + notFound(missing).Error(), nil
}

// find returns the first grant of one scope that allows what a asks.
func (x *Index) find(a *auth.Attributes, namespace string, bit verbSet, missing *[]*role) *grant {
	if g := first(x.grants(subject{namespace: namespace, name: a.User.Name}), a, bit, missing); g != nil {
		return g
	}
	for _, group := range a.User.Groups {
		if g := first(x.grants(subject{namespace: namespace, name: group, group: true}), a, bit, missing); g != nil {
			return g
		}
	}
	return nil
}

func first(grants []*grant, a *auth.Attributes, bit verbSet, missing *[]*role) *grant {
	for _, g := range grants {
		c := g.role.rules.Load()
		if c == nil {
			*missing = append(*missing, g.role)
		} else if c.allow(a, bit) {
			return g
		}
	}
	return nil
}

// RulesFor returns every rule that holds for the user in the namespace, the
// cluster-wide ones first; with an empty namespace only those. The error says
// which roles are named and do not exist; the rules are those of all others.
// The rules are shared and must not be changed.
func (x *Index) RulesFor(u *auth.User, namespace string) ([]rbacv1.PolicyRule, error) {
	var list []rbacv1.PolicyRule
	var missing []*role
	scopes := []string{""}
	if namespace != "" {
		scopes = append(scopes, namespace)
	}
	for _, ns := range scopes {
		seen := map[objectKey]bool{}
		visit := func(grants []*grant) {
			for _, g := range grants {
				if seen[g.binding] {
					continue
				}
				seen[g.binding] = true
				if c := g.role.rules.Load(); c == nil {
					missing = append(missing, g.role)
				} else {
					list = append(list, c.source...)
				}
			}
		}
		visit(x.grants(subject{namespace: ns, name: u.Name}))
		for _, group := range u.Groups {
			visit(x.grants(subject{namespace: ns, name: group, group: true}))
		}
	}
	if len(missing) > 0 {
		return list, notFound(missing)
	}
	return list, nil
}

// roleRules returns the rules of the role that a binding in namespace refers
// to.
func (x *Index) roleRules(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	key := objectKey{name: ref.Name}
	if ref.Kind == "Role" {
		key.namespace = namespace
	} else if ref.Kind != "ClusterRole" {
		return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
	}
	x.mu.Lock()
	r := x.roles[key]
	x.mu.Unlock()
	if r != nil {
		if c := r.rules.Load(); c != nil {
			return c.source, nil
		}
	}
	return nil, missingRoles{{kind: ref.Kind, name: ref.Name}}
}

// missingRoles is the error for roles that are named and do not exist.
type missingRoles []missingRole

type missingRole struct{ kind, name string }

func notFound(roles []*role) missingRoles {
	var m missingRoles
	for _, r := range roles {
		if e := (missingRole{r.kind, r.key.name}); !slices.Contains(m, e) {
			m = append(m, e)
		}
	}
	return m
}

func (m missingRoles) Error() string {
	var s []string
	for _, r := range m {
		s = append(s, fmt.Sprintf("%s.rbac.authorization.k8s.io %q not found", strings.ToLower(r.kind), r.name))
	}
	if len(s) == 1 {
		return s[0]
	}
	return "[" + strings.Join(s, ", ") + "]"
}
