// Package paramaccess sees to it that nobody reads by a policy what he may not
// read himself: who writes a policy with a kind of parameters must be allowed to
// get all objects of that kind, and who writes a binding must be allowed to read
// those that it names. It is not one of upstream's plugins, where storage makes
// these checks, and like those it cannot be switched off.
package paramaccess

import (
	"context"
	"fmt"

	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/admission"
	"proa/auth"
	"proa/resource"
)

// Policies finds the kinds of parameters of policies.
type Policies interface {
	ValidatingAdmissionPolicy(ctx context.Context, name string) (*arv1.ValidatingAdmissionPolicy, error)
	MutatingAdmissionPolicy(ctx context.Context, name string) (*arv1.MutatingAdmissionPolicy, error)
}

// Plugin is the check, as a validator.
type Plugin struct {
	table      *resource.Table
	policies   Policies
	authorizer auth.Authorizer
}

// New makes the plugin.
func New(table *resource.Table, policies Policies, authorizer auth.Authorizer) *Plugin {
	return &Plugin{table, policies, authorizer}
}

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "ParamAccess" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return def.Storage.Group == arv1.GroupName && subresource == "" && (op == admission.Create || op == admission.Update)
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.User == nil || a.User.InGroup(auth.GroupMasters) {
		return nil
	}
	var err error
	part := "paramKind"
	switch o := a.Object.(type) {
	case *arv1.ValidatingAdmissionPolicy:
		if old, ok := a.Old.(*arv1.ValidatingAdmissionPolicy); !ok || !same(o.Spec.ParamKind, old.Spec.ParamKind) {
			err = p.kind(ctx, a.User, o.Spec.ParamKind)
		}
	case *arv1.MutatingAdmissionPolicy:
		if old, ok := a.Old.(*arv1.MutatingAdmissionPolicy); !ok || !same(o.Spec.ParamKind, old.Spec.ParamKind) {
			err = p.kind(ctx, a.User, o.Spec.ParamKind)
		}
	case *arv1.ValidatingAdmissionPolicyBinding:
		part = "paramRef"
		old, ok := a.Old.(*arv1.ValidatingAdmissionPolicyBinding)
		if !ok || old.Spec.PolicyName != o.Spec.PolicyName || !same(o.Spec.ParamRef, old.Spec.ParamRef) {
			err = p.reference(ctx, a.User, o.Spec.ParamRef, o.Spec.PolicyName, p.validating)
		}
	case *arv1.MutatingAdmissionPolicyBinding:
		part = "paramRef"
		old, ok := a.Old.(*arv1.MutatingAdmissionPolicyBinding)
		if !ok || old.Spec.PolicyName != o.Spec.PolicyName || !same(o.Spec.ParamRef, old.Spec.ParamRef) {
			err = p.reference(ctx, a.User, o.Spec.ParamRef, o.Spec.PolicyName, p.mutating)
		}
	}
	if err == nil {
		return nil
	}
	return apierrors.NewInvalid(a.Definition.GroupVersionKind().GroupKind(), a.ObjectName(), field.ErrorList{
		field.Forbidden(field.NewPath("spec", part), err.Error()),
	})
}

// kindOf finds the kind of a policy's parameters, nil for one without.
type kindOf func(ctx context.Context, policy string) (*arv1.ParamKind, error)

func (p *Plugin) validating(ctx context.Context, policy string) (*arv1.ParamKind, error) {
	o, err := p.policies.ValidatingAdmissionPolicy(ctx, policy)
	if err != nil {
		return nil, err
	}
	return o.Spec.ParamKind, nil
}

func (p *Plugin) mutating(ctx context.Context, policy string) (*arv1.ParamKind, error) {
	o, err := p.policies.MutatingAdmissionPolicy(ctx, policy)
	if err != nil {
		return nil, err
	}
	return o.Spec.ParamKind, nil
}

// same compares parts of a policy or binding.
func same(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// target is what is to be read. What is not known might be anything, so that it
// takes the right to everything.
type target struct{ group, version, resource string }

var anything = target{"*", "*", "*"}

// resolve finds the resource of a kind.
func (p *Plugin) resolve(k *arv1.ParamKind) (t target, unparsed, unknown error) {
	gv, err := schema.ParseGroupVersion(k.APIVersion)
	if err != nil {
		return anything, err, nil
	}
	m, ok := p.table.View().KindFor(gv.WithKind(k.Kind))
	if !ok {
		return target{gv.Group, gv.Version, "*"}, nil, fmt.Errorf("no resource of kind %s is served", k.Kind)
	}
	return target{gv.Group, gv.Version, m.Plural}, nil, nil
}

func (p *Plugin) kind(ctx context.Context, u *auth.User, k *arv1.ParamKind) error {
	if k == nil {
		return nil
	}
	t, _, _ := p.resolve(k)
	ok, err := p.may(ctx, u, "get", t, "*", "*")
	if err == nil && !ok {
		err = fmt.Errorf(`user %v must have "get" permission on all objects of the referenced paramKind (kind=%s, apiVersion=%s)`, u.Name, k.Kind, k.APIVersion)
	}
	return err
}

func (p *Plugin) reference(ctx context.Context, u *auth.User, r *arv1.ParamRef, policy string, kindOf kindOf) error {
	if r == nil {
		return nil
	}
	verb := "get"
	if r.Name == "" {
		verb = "list"
	}
	t := anything
	var unparsed, unknown error
	k, noPolicy := kindOf(ctx, policy)
	if noPolicy == nil && k != nil {
		t, unparsed, unknown = p.resolve(k)
	}
	switch ok, err := p.may(ctx, u, verb, t, r.Namespace, r.Name); {
	case err != nil:
		return fmt.Errorf("failed to authorize request: %w", err)
	case ok:
		return nil
	case noPolicy != nil:
		return fmt.Errorf(`unable to get policy %s to determine minimum required permissions and user %v does not have "%v" permission for all groups, versions and resources`, policy, u.Name, verb)
	case unparsed != nil:
		return fmt.Errorf(`unable to parse paramKind %v to determine minimum required permissions and user %v does not have "%v" permission for all groups, versions and resources`, k, u.Name, verb)
	case unknown != nil:
		return fmt.Errorf(`unable to resolve paramKind %v to determine minimum required permissions and user %v does not have "%v" permission for all groups, versions and resources`, k, u.Name, verb)
	}
	return fmt.Errorf(`user %v does not have "%v" permission on the object referenced by paramRef`, u.Name, verb)
}

func (p *Plugin) may(ctx context.Context, u *auth.User, verb string, t target, namespace, name string) (bool, error) {
	d, _, err := p.authorizer.Authorize(ctx, &auth.Attributes{
		User: u, Verb: verb, IsResource: true, Group: t.group, Version: t.version, Resource: t.resource, Namespace: namespace, Name: name,
	})
	return d == auth.Allow, err
}
