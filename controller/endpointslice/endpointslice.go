package endpointslice

import (
	"context"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"

	"proa/controller"
	"proa/controller/servicepods"
	"proa/controller/slicecontrol"
)

const workers = 5

// Definition of the EndpointSlice controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "endpointslice-controller", ServiceAccount: "endpointslice-controller", New: newController}
}

type endpointSlices struct {
	env      controller.Env
	loop     *controller.Loop[controller.Key]
	services corelisters.ServiceLister
	pods     corelisters.PodLister
	nodes    corelisters.NodeLister
	slices   discoverylisters.EndpointSliceLister
	expect   *controller.Expectations[controller.Key]
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	sliceInformer := env.Informers.Discovery().V1().EndpointSlices()
	c := &endpointSlices{
		env: env, services: core.Services().Lister(), pods: core.Pods().Lister(), nodes: core.Nodes().Lister(), slices: sliceInformer.Lister(),
		expect: controller.NewExpectations[controller.Key](env.Clock),
	}
	c.loop = controller.NewLoop("endpointslice", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, core.Services().Informer(), controller.Self[*v1.Service]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		return servicepods.Selecting(old, pod, deleted, c.services)
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Nodes().Informer(), c.ofNode); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, sliceInformer.Informer(), c.ofSlice)
}

// Run implements controller.Controller.
func (c *endpointSlices) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// ofSlice names the service of a slice, whose creation may have been waited for.
func (c *endpointSlices) ofSlice(old, s *discoveryv1.EndpointSlice, deleted bool) []controller.Key {
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

// ofNode looks at all services again when a node's zone changes.
func (c *endpointSlices) ofNode(old, node *v1.Node, deleted bool) []controller.Key {
	if deleted || old == nil || old.Labels[v1.LabelTopologyZone] == node.Labels[v1.LabelTopologyZone] {
		return nil
	}
	list, err := c.services.List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []controller.Key
	for _, s := range list {
		keys = append(keys, controller.Key{Namespace: s.Namespace, Name: s.Name})
	}
	return keys
}

func (c *endpointSlices) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	svc, err := c.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.expect.Forget(key)
		return controller.Done, nil // its slices go with it, being owned by it
	}
	if err != nil {
		return controller.Done, err
	}
	if svc.Spec.Type == v1.ServiceTypeExternalName || len(svc.Spec.Selector) == 0 || svc.DeletionTimestamp != nil {
		return controller.Done, nil
	}
	if !c.expect.Satisfied(key) {
		return controller.Done, nil // the event that is waited for brings it back
	}
	pods, err := servicepods.Of(svc, c.pods)
	if err != nil {
		return controller.Done, err
	}
	is, err := c.slices.EndpointSlices(key.Namespace).List(labels.SelectorFromSet(labels.Set{
		discoveryv1.LabelServiceName: key.Name, discoveryv1.LabelManagedBy: managedBy}))
	if err != nil {
		return controller.Done, err
	}
	return controller.Done, slicecontrol.Apply(ctx, c.env.Client.DiscoveryV1(), c.expect, key, decide(svc, pods, is, c.zone).Plan)
}

func (c *endpointSlices) zone(node string) string {
	n, err := c.nodes.Get(node)
	if err != nil {
		return ""
	}
	return n.Labels[v1.LabelTopologyZone]
}
