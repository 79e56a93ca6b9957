package rbac

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"proa/auth"
)

// everything is what a user must hold who writes an aggregated role, since
// its rules are not his to see.
func everything() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
		{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}
}

// ConfirmNoEscalation returns an error that lists what is missing, unless the
// user holds all of the rules himself in the namespace (everywhere, where that
// is empty).
func (x *Index) ConfirmNoEscalation(u *auth.User, namespace string, grant []rbacv1.PolicyRule) error {
	held, unresolved := x.RulesFor(u, namespace)
	ok, missing := validation.Covers(held, grant)
	if ok {
		return nil
	}
	var lines []string
	for _, r := range compact(missing) {
		lines = append(lines, describeRule(r))
	}
	slices.Sort(lines)
	msg := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		u.Name, u.Groups, strings.Join(slices.Compact(lines), "\n"))
	if unresolved != nil {
		msg += fmt.Sprintf("; resolution errors: %v", []error{unresolved})
	}
	return errors.New(msg)
}

// ConfirmAggregation returns an error unless the user may do everything.
func (x *Index) ConfirmAggregation(u *auth.User) error {
	if x.ConfirmNoEscalation(u, "", everything()) != nil {
		return errors.New("must have cluster-admin privileges to use an aggregationRule")
	}
	return nil
}

// ConfirmBinding is ConfirmNoEscalation for the rules of the role that a
// binding in the namespace (or of the cluster, where that is empty) refers to.
func (x *Index) ConfirmBinding(u *auth.User, namespace string, ref rbacv1.RoleRef) error {
	granted, err := x.roleRules(ref, namespace)
	if err != nil {
		return err
	}
	return x.ConfirmNoEscalation(u, namespace, granted)
}

// RoleNotFound reports whether an error of ConfirmBinding says that the role
// does not exist.
func RoleNotFound(err error) bool {
	var m missingRoles
	return errors.As(err, &m)
}

// compact joins the verbs of rules that differ in nothing else, where each is
// for one resource by at most one name.
func compact(list []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	type key struct {
		group, resource, name string
		named                 bool
	}
	at := map[key]int{}
	var out []rbacv1.PolicyRule
	for _, r := range list {
		if len(r.APIGroups) != 1 || len(r.Resources) != 1 || len(r.ResourceNames) > 1 || len(r.NonResourceURLs) > 0 {
			out = append(out, r)
			continue
		}
		k := key{group: r.APIGroups[0], resource: r.Resources[0]}
		if len(r.ResourceNames) == 1 {
			k.name, k.named = r.ResourceNames[0], true
		}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			r.Verbs = slices.Clone(r.Verbs)
			out = append(out, r)
			continue
		}
		for _, v := range r.Verbs {
			if !slices.Contains(out[i].Verbs, v) {
				out[i].Verbs = append(out[i].Verbs, v)
			}
		}
	}
	return out
}

// describeRule writes a rule in one line, without the fields that are empty.
func describeRule(r rbacv1.PolicyRule) string {
	var parts []string
	for _, p := range []struct {
		name   string
		values []string
	}{
		{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs},
		{"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs},
	} {
		if len(p.values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", p.name, p.values))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
