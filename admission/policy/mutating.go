package policy

import (
	"context"
	"errors"
	"fmt"

	arv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/admission"
	"proa/admission/expression"
	"proa/admission/match"
	"proa/resource"
)

// Mutating is the plugin MutatingAdmissionPolicy.
type Mutating struct {
	Config
	policies *joined[*mutating]
}

// mutating is a policy, compiled. It is immutable.
type mutating struct {
	head
	mutations []mutation
	// reinvoke: it wants to see an object again that others have changed since.
	reinvoke bool
}

type mutation struct {
	program *expression.Program
	// patch: the program makes a JSON patch, and otherwise a configuration to
	// apply.
	patch bool
}

// NewMutating makes the plugin.
func NewMutating(c Config, view *resource.View) *Mutating {
	return &Mutating{c, newJoined(c.Hub, view, "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", newMutating,
		func(b *arv1.MutatingAdmissionPolicyBinding) *binding {
			return newBinding(b.Name, b.Spec.PolicyName, b.Spec.MatchResources, b.Spec.ParamRef, nil)
		}, func(p *mutating) string { return p.name })}
}

func newMutating(o *arv1.MutatingAdmissionPolicy) *mutating {
	s := &o.Spec
	p := &mutating{
		head:     newHead(o.Name, s.MatchConstraints, s.ParamKind, s.FailurePolicy, s.Variables, s.MatchConditions),
		reinvoke: s.ReinvocationPolicy == arv1.IfNeededReinvocationPolicy,
	}
	sees := p.sees()
	sees.Patch = true
	for i := range s.Mutations {
		switch m := &s.Mutations[i]; {
		case m.PatchType == arv1.PatchTypeJSONPatch && m.JSONPatch != nil:
			p.mutations = append(p.mutations, mutation{p.compiler.Compile(m.JSONPatch.Expression, sees, expression.Stored, expression.JSONPatchOps), true})
		case m.PatchType == arv1.PatchTypeApplyConfiguration && m.ApplyConfiguration != nil:
			p.mutations = append(p.mutations, mutation{p.compiler.Compile(m.ApplyConfiguration.Expression, sees, expression.Stored, expression.Object), false})
		}
	}
	return p
}

// Name implements [admission.Plugin].
func (*Mutating) Name() string { return "MutatingAdmissionPolicy" }

// Handles implements [admission.Plugin].
func (p *Mutating) Handles(_ admission.Operation, def *resource.Definition, _ string) bool {
	return !match.Exempt(def) && !p.policies.none()
}

// invocation is a policy that a write meets, by a binding and with a parameter.
type invocation struct {
	*mutating
	binding string
	served  *resource.Served
	param   param
}

// policyError is why a policy could not do what it should.
type policyError struct {
	policy  *mutating
	binding string
	err     error
	reason  metav1.StatusReason
}

func (e policyError) Error() string {
	if e.binding == "" {
		return fmt.Sprintf("policy %q denied request: %v", e.policy.name, e.err)
	}
	return fmt.Sprintf("policy '%s' with binding '%s' denied request: %v", e.policy.name, e.binding, e.err)
}

// Mutate implements [admission.Mutator].
func (p *Mutating) Mutate(ctx context.Context, a *admission.Attributes) error {
	all, err := p.policies.all(ctx)
	if err != nil {
		return notReady(a, err)
	}
	m := p.meet(ctx, a)
	var due []invocation
	var errs []policyError
	for _, e := range all {
		found, failed := p.invocations(m, e)
		due, errs = append(due, found...), append(errs, failed...)
	}
	if len(due) > 0 {
		failed, err := p.invoke(m, due)
		if err != nil {
			return err
		}
		errs = append(errs, failed...)
	}
	return counted(a, errs)
}

// counted is the error of the request: the first of those that the failure
// policies let count, with the others as causes.
func counted(a *admission.Attributes, errs []policyError) error {
	var refusal *apierrors.StatusError
	for _, e := range errs {
		if e.policy.failOpen {
			continue
		}
		if refusal == nil {
			refusal = apierrors.NewForbidden(a.GroupResource(), a.ObjectName(), e)
			refusal.ErrStatus.Message = e.Error()
			if e.reason != "" {
				refusal.ErrStatus.Reason = e.reason
			}
		}
		refusal.ErrStatus.Details.Causes = append(refusal.ErrStatus.Details.Causes, metav1.StatusCause{Message: e.Error()})
	}
	if refusal == nil {
		return nil
	}
	return refusal
}

// invocations finds by which bindings and with which parameters a write meets a
// policy.
func (p *Mutating) invocations(m *meeting, e effective[*mutating]) (due []invocation, errs []policyError) {
	misconfigured := func(err error, part, binding string) {
		errs = append(errs, policyError{e.policy, binding, fmt.Errorf("failed to configure %s: %w", part, err), ""})
	}
	if e.policy.criteria == nil {
		misconfigured(errUnconstrained, "policy", "")
		return nil, errs
	}
	served, err := e.policy.criteria.Match(m.ctx, m.a, m.Namespaces)
	if err != nil {
		misconfigured(err, "policy", "")
	}
	if served == nil {
		return nil, errs
	}
	for _, b := range e.bindings {
		if b.criteria != nil {
			matched, err := b.criteria.Match(m.ctx, m.a, m.Namespaces)
			if err != nil {
				misconfigured(err, "binding", b.name)
			}
			if matched == nil {
				continue
			}
		}
		params, err := m.params(&e.policy.head, b)
		if err != nil {
			misconfigured(err, "binding", b.name)
			continue
		}
		for _, param := range params {
			due = append(due, invocation{e.policy, b.name, served, param})
		}
	}
	return due, errs
}

// invoke lets policies change the object, one after another.
func (p *Mutating) invoke(m *meeting, due []invocation) (errs []policyError, err error) {
	if err := m.findNamespace(); err != nil {
		return nil, err
	}
	seen := m.a.Memory(p.Name(), func() any { return &admission.Reinvocation{} }).(*admission.Reinvocation)
	seen.Begin(m.a)
	defer func() { seen.End(m.a) }()
	for _, i := range due {
		key := fmt.Sprintf("%s/%s/%s/%s", i.name, i.binding, i.param.namespace, i.param.name)
		holds, err := i.holds(m)
		if err != nil {
			errs = append(errs, policyError{i.mutating, i.binding, err, metav1.StatusReasonInvalid})
		}
		if !holds || !seen.Due(m.a, key) {
			continue
		}
		changed := false
		for _, mutation := range i.mutations {
			did, err := p.mutate(m, i, mutation)
			var status *apierrors.StatusError
			switch {
			case errors.As(err, &status):
				return nil, status
			case err != nil:
				errs = append(errs, policyError{i.mutating, i.binding, err, metav1.StatusReasonInvalid})
			}
			changed = changed || did
		}
		if changed {
			seen.Changed()
			m.a.PassAgain()
		}
		if i.reinvoke {
			seen.Invoked(key)
		}
	}
	return errs, nil
}

// holds evaluates the match conditions on the object as it is now.
func (i *invocation) holds(m *meeting) (bool, error) {
	if len(i.conditions) == 0 {
		return true, nil
	}
	v, err := m.view(i.served)
	if err != nil {
		return false, err
	}
	values, err := m.values(v, i.param.tree)
	if err != nil {
		return false, err
	}
	return i.conditions.Match(i.compiler.NewScope(m.ctx, values, expression.ConditionBudget))
}

// mutate makes one mutation.
func (p *Mutating) mutate(m *meeting, i invocation, by mutation) (changed bool, err error) {
	v, err := m.view(i.served)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	if v.Object == nil {
		return false, nil // nothing to change
	}
	values, err := m.values(v, i.param.tree)
	if err != nil {
		return false, err
	}
	if by.program.Err != nil {
		return false, by.program.Err
	}
	made, err := i.compiler.NewScope(m.ctx, m.withNamespace(values), expression.Budget).Eval(by.program)
	if err != nil {
		return false, err
	}
	var out runtime.Object
	if by.patch {
		out, err = patched(v, made)
	} else {
		out, err = p.applied(v, made)
	}
	if err != nil || out == nil || admission.Same(v.Object, out) {
		return false, err
	}
	if err := v.Put(out); err != nil {
		return false, apierrors.NewInternalError(err)
	}
	m.changed()
	return true, nil
}
