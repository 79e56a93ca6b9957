// Package policystatus checks the expressions of validating admission policies
// against the schemas of the kinds that they are about, and writes into their
// status what will not work: a name that no object has, a comparison of a number
// with a text. Such a policy is in effect all the same; its author is told.
//
// A policy is checked once for each of its generations. What is served later
// does not change what was found.
package policystatus

import (
	"context"
	"errors"

	arv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	apply "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	listers "k8s.io/client-go/listers/admissionregistration/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/controller"
)

const (
	workers = 1
	manager = "validatingadmissionpolicy-status-controller"
)

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: manager, ServiceAccount: manager, New: newController}
}

type status struct {
	env     controller.Env
	loop    *controller.Loop[controller.Key]
	list    listers.ValidatingAdmissionPolicyLister
	schemas resolver.SchemaResolver
}

func newController(env controller.Env) (controller.Controller, error) {
	policies := env.Informers.Admissionregistration().V1().ValidatingAdmissionPolicies()
	c := &status{env: env, list: policies.Lister(), schemas: &resolver.ClientDiscoveryResolver{Discovery: env.Discovery}}
	c.loop = controller.NewLoop("policy-status", env, workers, c.reconcile)
	return c, controller.Watch(c.loop, policies.Informer(), controller.Self[*arv1.ValidatingAdmissionPolicy])
}

// Run implements controller.Controller.
func (c *status) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *status) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	p, err := c.list.Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil || p.Generation <= p.Status.ObservedGeneration {
		return controller.Done, err
	}
	found := check(p, c.kinds(ctx, p), c.resolve)
	warnings := make([]*apply.ExpressionWarningApplyConfiguration, len(found))
	for i, w := range found {
		warnings[i] = apply.ExpressionWarning().WithFieldRef(w.FieldRef).WithWarning(w.Warning)
	}
	config := apply.ValidatingAdmissionPolicy(p.Name).WithStatus(apply.ValidatingAdmissionPolicyStatus().
		WithObservedGeneration(p.Generation).
		WithTypeChecking(apply.TypeChecking().WithExpressionWarnings(warnings...)))
	_, err = c.env.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies().ApplyStatus(ctx, config, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if apierrors.IsNotFound(err) {
		err = nil // it has gone meanwhile
	}
	return controller.Done, err
}

// kinds are those that a policy is about, as far as they are served.
func (c *status) kinds(ctx context.Context, p *arv1.ValidatingAdmissionPolicy) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, r := range resources(p) {
		if ctx.Err() != nil || len(kinds) == maxKinds {
			break
		}
		found, err := c.env.Mapper.KindsFor(r)
		if err != nil {
			continue // nothing of that name is served
		}
		kinds = append(kinds, found...)
	}
	return sorted(kinds)
}

// resolve returns the schema of a kind, or nil where there is none to be had.
func (c *status) resolve(k schema.GroupVersionKind) *spec.Schema {
	s, err := c.schemas.ResolveSchema(k)
	if err != nil {
		if !errors.Is(err, resolver.ErrSchemaNotFound) {
			c.env.Log.Warn("a schema could not be read; expressions about the kind are not checked", "kind", k, "err", err)
		}
		return nil
	}
	return s
}
