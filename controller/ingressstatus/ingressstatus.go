package ingressstatus

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"

	"proa/controller"
	"proa/network/ingress"
)

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "ingress-status-controller", ServiceAccount: "ingress-status-controller", New: newController}
}

// all is the one key of the loop: every Ingress has the same addresses.
type all struct{}

type status struct {
	env       controller.Env
	loop      *controller.Loop[all]
	ingresses networkinglisters.IngressLister
	classes   networkinglisters.IngressClassLister
	nodes     corelisters.NodeLister
}

func newController(env controller.Env) (controller.Controller, error) {
	ingresses, classes := env.Informers.Networking().V1().Ingresses(), env.Informers.Networking().V1().IngressClasses()
	nodes := env.Informers.Core().V1().Nodes()
	c := &status{env: env, ingresses: ingresses.Lister(), classes: classes.Lister(), nodes: nodes.Lister()}
	c.loop = controller.NewLoop("ingressstatus", env, 1, c.reconcile)
	for _, err := range []error{
		controller.Watch(c.loop, ingresses.Informer(), func(_, _ *networkingv1.Ingress, deleted bool) []all { return when(!deleted) }),
		controller.Watch(c.loop, classes.Informer(), func(_, _ *networkingv1.IngressClass, _ bool) []all { return when(true) }),
		controller.Watch(c.loop, nodes.Informer(), func(old, n *v1.Node, _ bool) []all {
			// Nodes report often, and seldom anything that matters here. Most never do.
			now := decide([]*v1.Node{n})
			if old == nil {
				return when(len(now) > 0)
			}
			return when(!equality.Semantic.DeepEqual(decide([]*v1.Node{old}), now))
		}),
	} {
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

func when(concerned bool) []all {
	if concerned {
		return []all{{}}
	}
	return nil
}

// Run implements controller.Controller.
func (c *status) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *status) reconcile(ctx context.Context, _ all) (controller.Result, error) {
	classes, err := c.classes.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	ingresses, err := c.ingresses.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	ours := ingress.Classes(classes)
	ingresses = slices.DeleteFunc(ingresses, func(in *networkingv1.Ingress) bool { return !ingress.Ours(in, ours) })
	if len(ingresses) == 0 {
		return controller.Done, nil // however many nodes there are
	}
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	addresses := decide(nodes)
	var errs []error
	for _, in := range ingresses {
		if !equality.Semantic.DeepEqual(in.Status.LoadBalancer.Ingress, addresses) {
			errs = append(errs, c.write(ctx, in, addresses))
		}
	}
	return controller.Done, errors.Join(errs...)
}

// write puts addresses into the status of an Ingress, if it is as it was seen.
func (c *status) write(ctx context.Context, in *networkingv1.Ingress, addresses []networkingv1.IngressLoadBalancerIngress) error {
	var balancer any // null takes away
	if len(addresses) > 0 {
		balancer = networkingv1.IngressLoadBalancerStatus{Ingress: addresses}
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": in.UID, "resourceVersion": in.ResourceVersion},
		"status":   map[string]any{"loadBalancer": balancer},
	})
	if err != nil {
		return err
	}
	_, err = c.env.Client.NetworkingV1().Ingresses(in.Namespace).Patch(ctx, in.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
