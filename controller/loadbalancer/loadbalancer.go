package loadbalancer

import (
	"context"
	"encoding/json"
	"errors"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"

	"proa/controller"
)

// Definition of the load balancer. reserved are TCP ports of nodes that it never
// gives to a service.
func Definition(reserved ...int32) controller.Definition {
	return controller.Definition{Name: "service-lb-controller", ServiceAccount: "service-controller",
		New: func(env controller.Env) (controller.Controller, error) { return newController(env, reserved) }}
}

// all is the one key of the loop: who gets which port is decided together.
type all struct{}

type balancer struct {
	env      controller.Env
	loop     *controller.Loop[all]
	services corelisters.ServiceLister
	nodes    corelisters.NodeLister
	slices   discoverylisters.EndpointSliceLister
	reserved []int32
	// told is what each service was last told that it lacks. Only the loop's one
	// worker uses it.
	told map[types.UID]string
}

func newController(env controller.Env, reserved []int32) (controller.Controller, error) {
	services, nodes := env.Informers.Core().V1().Services(), env.Informers.Core().V1().Nodes()
	slices := env.Informers.Discovery().V1().EndpointSlices()
	c := &balancer{
		env: env, services: services.Lister(), nodes: nodes.Lister(), slices: slices.Lister(), reserved: reserved,
		told: map[types.UID]string{},
	}
	c.loop = controller.NewLoop("loadbalancer", env, 1, c.reconcile)
	if err := controller.Watch(c.loop, services.Informer(), func(old, s *v1.Service, _ bool) []all {
		return when(ours(s) || old != nil && ours(old))
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, nodes.Informer(), func(old, n *v1.Node, _ bool) []all {
		// Nodes report often, and seldom anything that matters here.
		return when(old == nil || !equality.Semantic.DeepEqual(offerOf(old), offerOf(n)))
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, slices.Informer(), func(_, s *discoveryv1.EndpointSlice, _ bool) []all {
		service, err := c.services.Services(s.Namespace).Get(s.Labels[discoveryv1.LabelServiceName])
		return when(err == nil && ours(service) && service.Spec.ExternalTrafficPolicy == v1.ServiceExternalTrafficPolicyLocal)
	}); err != nil {
		return nil, err
	}
	return c, nil
}

func when(concerned bool) []all {
	if concerned {
		return []all{{}}
	}
	return nil
}

// offer is all that is read of a node.
type offer struct {
	Labels    map[string]string
	Addresses []v1.NodeAddress
	Ready     bool
	Deleting  bool
	Ports     []int32
}

func offerOf(n *v1.Node) offer {
	return offer{n.Labels, n.Status.Addresses, Ready(n), n.DeletionTimestamp != nil, openPorts(n)}
}

// Run implements controller.Controller.
func (c *balancer) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *balancer) reconcile(ctx context.Context, _ all) (controller.Result, error) {
	services, err := c.services.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	endpoints := map[controller.Key][]*discoveryv1.EndpointSlice{}
	for _, s := range services {
		if !ours(s) || s.Spec.ExternalTrafficPolicy != v1.ServiceExternalTrafficPolicyLocal {
			continue
		}
		own, err := c.slices.EndpointSlices(s.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: s.Name}))
		if err != nil {
			return controller.Done, err
		}
		endpoints[controller.Key{Namespace: s.Namespace, Name: s.Name}] = own
	}
	plan := decide(services, nodes, endpoints, c.reserved)
	var errs []error
	told := map[types.UID]string{}
	for _, s := range services {
		o, mine := plan[controller.Key{Namespace: s.Namespace, Name: s.Name}]
		if !mine {
			continue
		}
		if o.lacks != "" && c.told[s.UID] != o.lacks {
			c.env.Events.Event(s, v1.EventTypeWarning, "LoadBalancerPending", o.lacks)
		}
		if o.lacks != "" {
			told[s.UID] = o.lacks
		}
		if !equality.Semantic.DeepEqual(s.Status.LoadBalancer.Ingress, o.ingress) {
			errs = append(errs, c.write(ctx, s, o.ingress))
		}
	}
	c.told = told
	return controller.Done, errors.Join(errs...)
}

// write puts addresses into a service's status, if it is as it was seen.
func (c *balancer) write(ctx context.Context, s *v1.Service, ingress []v1.LoadBalancerIngress) error {
	var status any // null takes away
	if len(ingress) > 0 {
		status = v1.LoadBalancerStatus{Ingress: ingress}
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": s.UID, "resourceVersion": s.ResourceVersion},
		"status":   map[string]any{"loadBalancer": status},
	})
	if err != nil {
		return err
	}
	_, err = c.env.Client.CoreV1().Services(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil && len(ingress) > 0:
		c.env.Events.Event(s, v1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
	}
	return err
}
