// Package rbacescalation sees to it that nobody gives away, by a role or a
// binding, what he does not have. It is not one of upstream's plugins, where
// storage makes these checks, and like those it cannot be switched off.
//
// A user may write a role whose rules he holds, or any where he may
// "escalate" it; and bind a role whose rules he holds, or any that he may
// "bind".
package rbacescalation

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/auth"
	"proa/auth/rbac"
	"proa/resource"
)

// Plugin is the check, as a validator.
type Plugin struct {
	policy     *rbac.Index
	authorizer auth.Authorizer
}

// New makes the plugin.
func New(policy *rbac.Index, authorizer auth.Authorizer) *Plugin {
	return &Plugin{policy, authorizer}
}

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "RBACEscalation" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return def.Storage.Group == rbacv1.GroupName && subresource == "" && (op == admission.Create || op == admission.Update)
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.User == nil || a.User.InGroup(auth.GroupMasters) || onlyForCollector(a) {
		return nil
	}
	var err error
	switch o := a.Object.(type) {
	case *rbacv1.Role:
		err = p.role(ctx, a, o.Name, o.Rules)
	case *rbacv1.ClusterRole:
		old, _ := a.Old.(*rbacv1.ClusterRole)
		if err = p.role(ctx, a, o.Name, o.Rules); err == nil && (aggregates(o) || aggregates(old)) {
			err = p.aggregation(ctx, a, o.Name)
		}
	case *rbacv1.RoleBinding:
		return p.binding(ctx, a, o.Name, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		return p.binding(ctx, a, o.Name, o.RoleRef)
	}
	return err
}

func aggregates(r *rbacv1.ClusterRole) bool {
	return r != nil && r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

func (p *Plugin) role(ctx context.Context, a *admission.Attributes, name string, rules []rbacv1.PolicyRule) error {
	err := p.policy.ConfirmNoEscalation(a.User, a.Namespace, rules)
	if err == nil || p.mayEscalate(ctx, a, name) {
		return nil
	}
	return apierrors.NewForbidden(a.GroupResource(), name, err)
}

// aggregation: the rules come from roles that others will label, so nothing
// less than everything covers them.
func (p *Plugin) aggregation(ctx context.Context, a *admission.Attributes, name string) error {
	err := p.policy.ConfirmAggregation(a.User)
	if err == nil || p.mayEscalate(ctx, a, name) {
		return nil
	}
	return apierrors.NewForbidden(a.GroupResource(), name, err)
}

func (p *Plugin) mayEscalate(ctx context.Context, a *admission.Attributes, name string) bool {
	return p.may(ctx, &auth.Attributes{
		User: a.User, Verb: "escalate", IsResource: true, Group: rbacv1.GroupName, Version: "*",
		Resource: a.Definition.Plural, Namespace: a.Namespace, Name: name,
	})
}

func (p *Plugin) binding(ctx context.Context, a *admission.Attributes, name string, ref rbacv1.RoleRef) error {
	resources := map[string]string{"ClusterRole": "clusterroles", "Role": "roles"}
	if p.may(ctx, &auth.Attributes{
		User: a.User, Verb: "bind", IsResource: true, Group: ref.APIGroup, Version: "*",
		Resource: resources[ref.Kind], Namespace: a.Namespace, Name: ref.Name,
	}) {
		return nil
	}
	err := p.policy.ConfirmBinding(a.User, a.Namespace, ref)
	switch {
	case err == nil:
		return nil
	case rbac.RoleNotFound(err):
		return apierrors.NewNotFound(schema.GroupResource{Group: rbacv1.GroupName, Resource: resources[ref.Kind]}, ref.Name)
	}
	return apierrors.NewForbidden(a.GroupResource(), name, err)
}

func (p *Plugin) may(ctx context.Context, q *auth.Attributes) bool {
	if q.Resource == "" {
		return false
	}
	d, _, _ := p.authorizer.Authorize(ctx, q)
	return d == auth.Allow
}

// onlyForCollector reports whether an update changes nothing but what the
// garbage collector writes so that an object can go.
func onlyForCollector(a *admission.Attributes) bool {
	old, ok := a.Old.(resource.Object)
	if !ok || a.Operation != admission.Update {
		return false
	}
	c, ok := a.Object.DeepCopyObject().(resource.Object)
	if !ok {
		return false
	}
	c.SetOwnerReferences(old.GetOwnerReferences())
	c.SetFinalizers(old.GetFinalizers())
	c.SetManagedFields(old.GetManagedFields())
	c.SetResourceVersion(old.GetResourceVersion())
	return equality.Semantic.DeepEqual(c, old)
}
