package endpointslicemirroring

import (
	"context"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"

	"proa/controller"
	"proa/controller/slicecontrol"
)

const workers = 2

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{
		Name: "endpointslice-mirroring-controller", ServiceAccount: "endpointslicemirroring-controller", New: newController,
	}
}

type mirror struct {
	env       controller.Env
	loop      *controller.Loop[controller.Key]
	endpoints corelisters.EndpointsLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	expect    *controller.Expectations[controller.Key]
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	sliceInformer := env.Informers.Discovery().V1().EndpointSlices()
	c := &mirror{
		env: env, endpoints: core.Endpoints().Lister(), services: core.Services().Lister(), slices: sliceInformer.Lister(),
		expect: controller.NewExpectations[controller.Key](env.Clock),
	}
	c.loop = controller.NewLoop("endpointslicemirroring", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, core.Endpoints().Informer(), controller.Self[*v1.Endpoints]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Services().Informer(), ofService); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, sliceInformer.Informer(), c.ofSlice)
}

// Run implements controller.Controller.
func (c *mirror) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// ofService names the Endpoints of a service that begins or ceases to have none
// of its own.
func ofService(old, svc *v1.Service, deleted bool) []controller.Key {
	if !deleted && old != nil && (old.Spec.Selector == nil) == (svc.Spec.Selector == nil) {
		return nil
	}
	return []controller.Key{{Namespace: svc.Namespace, Name: svc.Name}}
}

// ofSlice names the Endpoints of a slice, whose creation may have been waited
// for.
func (c *mirror) ofSlice(old, s *discoveryv1.EndpointSlice, deleted bool) []controller.Key {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" || s.Labels[discoveryv1.LabelManagedBy] != managedBy {
		return nil
	}
	key := controller.Key{Namespace: s.Namespace, Name: name}
	if old == nil && !deleted {
		c.expect.CreationObserved(key)
	}
	return []controller.Key{key}
}

func (c *mirror) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	if !c.expect.Satisfied(key) {
		return controller.Done, nil // the event that is waited for brings it back
	}
	ep, err := c.source(key)
	if err != nil {
		return controller.Done, err
	}
	is, err := c.slices.EndpointSlices(key.Namespace).List(labels.SelectorFromSet(labels.Set{
		discoveryv1.LabelServiceName: key.Name, discoveryv1.LabelManagedBy: managedBy,
	}))
	if err != nil {
		return controller.Done, err
	}
	if ep == nil && len(is) == 0 {
		c.expect.Forget(key)
		return controller.Done, nil
	}
	return controller.Done, slicecontrol.Apply(ctx, c.env.Client.DiscoveryV1(), c.expect, key, decide(ep, is))
}

// source is what is to be mirrored, or nil.
func (c *mirror) source(key controller.Key) (*v1.Endpoints, error) {
	ep, err := c.endpoints.Endpoints(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	svc, err := c.services.Services(key.Namespace).Get(key.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	if err != nil {
		svc = nil
	}
	if !mirrors(ep, svc) {
		return nil, nil
	}
	return ep, nil
}
