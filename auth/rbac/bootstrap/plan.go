package bootstrap

import (
	"slices"
	"strconv"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"proa/auth/rbac"
)

// Writes are what brings a cluster to have a policy.
type Writes struct {
	Create Policy
	// Update holds changed copies, with the resource version of the original.
	Update Policy
	// Recreate holds bindings that refer to another role. A reference cannot
	// be changed, so they are deleted (if they still have the UID that the
	// replacement carries) and created.
	Recreate Policy
}

// Empty reports whether there is nothing to write.
func (w Writes) Empty() bool { return w.Create.empty() && w.Update.empty() && w.Recreate.empty() }

func (p Policy) empty() bool {
	return len(p.ClusterRoles)+len(p.ClusterRoleBindings)+len(p.Roles)+len(p.RoleBindings) == 0
}

type object interface {
	GetNamespace() string
	GetName() string
}

type name struct{ namespace, name string }

func byName[T object](list []T) map[name]T {
	m := make(map[name]T, len(list))
	for _, o := range list {
		m[name{o.GetNamespace(), o.GetName()}] = o
	}
	return m
}

// Plan compares what a cluster has with what it wants at least. It changes
// neither, and what it returns may share memory with both.
func Plan(have, want Policy) Writes {
	var w Writes
	haveClusterRoles := byName(have.ClusterRoles)
	for _, r := range want.ClusterRoles {
		was, ok := haveClusterRoles[name{name: r.Name}]
		if !ok {
			w.Create.ClusterRoles = append(w.Create.ClusterRoles, filled(r, want.ClusterRoles))
		} else if u := extendClusterRole(was, r); u != nil {
			w.Update.ClusterRoles = append(w.Update.ClusterRoles, u)
		}
	}
	haveRoles := byName(have.Roles)
	for _, r := range want.Roles {
		was, ok := haveRoles[name{r.Namespace, r.Name}]
		if !ok {
			w.Create.Roles = append(w.Create.Roles, r)
		} else if u := extendRole(was, r); u != nil {
			w.Update.Roles = append(w.Update.Roles, u)
		}
	}
	haveClusterBindings := byName(have.ClusterRoleBindings)
	for _, b := range want.ClusterRoleBindings {
		was, ok := haveClusterBindings[name{name: b.Name}]
		if !ok {
			w.Create.ClusterRoleBindings = append(w.Create.ClusterRoleBindings, b)
			continue
		}
		u := was.DeepCopy()
		switch extendBinding(&u.ObjectMeta, &u.RoleRef, &u.Subjects, &b.ObjectMeta, b.RoleRef, b.Subjects) {
		case recreate:
			w.Recreate.ClusterRoleBindings = append(w.Recreate.ClusterRoleBindings, u)
		case update:
			w.Update.ClusterRoleBindings = append(w.Update.ClusterRoleBindings, u)
		}
	}
	haveBindings := byName(have.RoleBindings)
	for _, b := range want.RoleBindings {
		was, ok := haveBindings[name{b.Namespace, b.Name}]
		if !ok {
			w.Create.RoleBindings = append(w.Create.RoleBindings, b)
			continue
		}
		u := was.DeepCopy()
		switch extendBinding(&u.ObjectMeta, &u.RoleRef, &u.Subjects, &b.ObjectMeta, b.RoleRef, b.Subjects) {
		case recreate:
			w.Recreate.RoleBindings = append(w.Recreate.RoleBindings, u)
		case update:
			w.Update.RoleBindings = append(w.Update.RoleBindings, u)
		}
	}
	return w
}

// filled gives an aggregated role the rules that it will have, so that it is
// of use before the controller that keeps them has looked.
func filled(r *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) *rbacv1.ClusterRole {
	if r.AggregationRule == nil {
		return r
	}
	c := r.DeepCopy()
	// Roles may aggregate roles that are aggregated; as many rounds as there
	// are levels suffice, and the policy has three.
	for range 3 {
		expanded := slices.Clone(all)
		for i, o := range expanded {
			if o.AggregationRule != nil {
				if rules, err := rbac.Aggregate(o, all); err == nil {
					e := o.DeepCopy()
					e.Rules = rules
					expanded[i] = e
				}
			}
		}
		all = expanded
	}
	if rules, err := rbac.Aggregate(c, all); err == nil {
		c.Rules = rules
	}
	return c
}

// protected reports whether an operator has taken an object into his own care.
func protected(m *metav1.ObjectMeta) bool {
	v, ok := m.Annotations[rbacv1.AutoUpdateAnnotationKey]
	if !ok {
		return false
	}
	auto, err := strconv.ParseBool(v)
	return err == nil && !auto
}

// extendMeta adds the labels and annotations that m lacks.
func extendMeta(m, want *metav1.ObjectMeta) (changed bool) {
	add := func(to *map[string]string, from map[string]string) {
		for k, v := range from {
			if _, ok := (*to)[k]; ok {
				continue
			}
			if *to == nil {
				*to = map[string]string{}
			}
			(*to)[k], changed = v, true
		}
	}
	add(&m.Labels, want.Labels)
	add(&m.Annotations, want.Annotations)
	return changed
}

// extendClusterRole returns a copy of was with what it lacks of want, or nil
// where that is nothing.
func extendClusterRole(was, want *rbacv1.ClusterRole) *rbacv1.ClusterRole {
	if protected(&was.ObjectMeta) {
		return nil
	}
	u := was.DeepCopy()
	changed := extendMeta(&u.ObjectMeta, &want.ObjectMeta)
	if want.AggregationRule == nil {
		changed = extendRules(&u.Rules, want.Rules) || changed
	} else {
		if u.AggregationRule == nil {
			u.AggregationRule = &rbacv1.AggregationRule{}
		}
		for _, s := range want.AggregationRule.ClusterRoleSelectors {
			have := u.AggregationRule.ClusterRoleSelectors
			if !slices.ContainsFunc(have, func(h metav1.LabelSelector) bool { return equality.Semantic.DeepEqual(h, s) }) {
				u.AggregationRule.ClusterRoleSelectors = append(have, s)
				changed = true
			}
		}
	}
	if !changed {
		return nil
	}
	return u
}

func extendRole(was, want *rbacv1.Role) *rbacv1.Role {
	if protected(&was.ObjectMeta) {
		return nil
	}
	u := was.DeepCopy()
	changed := extendMeta(&u.ObjectMeta, &want.ObjectMeta)
	if changed = extendRules(&u.Rules, want.Rules) || changed; !changed {
		return nil
	}
	return u
}

// extendRules adds the part of want that the rules do not cover.
func extendRules(rules *[]rbacv1.PolicyRule, want []rbacv1.PolicyRule) bool {
	if equality.Semantic.DeepEqual(*rules, want) {
		return false
	}
	ok, missing := validation.Covers(*rules, want)
	if !ok {
		*rules = append(*rules, missing...)
	}
	return !ok
}

type change int

const (
	none change = iota
	update
	recreate
)

// extendBinding adds what a binding lacks, in place.
func extendBinding(m *metav1.ObjectMeta, ref *rbacv1.RoleRef, subjects *[]rbacv1.Subject,
	wantMeta *metav1.ObjectMeta, wantRef rbacv1.RoleRef, wantSubjects []rbacv1.Subject,
) change {
	if protected(m) {
		return none
	}
	c := none
	if extendMeta(m, wantMeta) {
		c = update
	}
	for _, s := range wantSubjects {
		if !slices.Contains(*subjects, s) {
			*subjects = append(*subjects, s)
			c = update
		}
	}
	if *ref != wantRef {
		*ref = wantRef
		// Whoever was bound to the other role is not bound to this one.
		*subjects = wantSubjects
		c = recreate
	}
	return c
}
