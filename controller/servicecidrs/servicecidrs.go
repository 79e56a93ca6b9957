package servicecidrs

import (
	"context"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	apply "k8s.io/client-go/applyconfigurations/networking/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"

	"proa/controller"
)

// name of the controller, also as a manager of fields.
const name = "service-cidr-controller"

// managedBy marks the addresses that API servers have given.
const managedBy = "ipallocator.k8s.io"

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: name, ServiceAccount: "service-cidrs-controller", New: newController}
}

type protector struct {
	env       controller.Env
	loop      *controller.Loop[string]
	ranges    networkinglisters.ServiceCIDRLister
	addresses networkinglisters.IPAddressLister
}

func newController(env controller.Env) (controller.Controller, error) {
	in := env.Informers.Networking().V1()
	c := &protector{env: env, ranges: in.ServiceCIDRs().Lister(), addresses: in.IPAddresses().Lister()}
	c.loop = controller.NewLoop("servicecidrs", env, 1, c.reconcile)
	// What comes or goes may decide about those that wait for it.
	if err := controller.Watch(c.loop, in.ServiceCIDRs().Informer(), func(old, r *networkingv1.ServiceCIDR, _ bool) []string {
		if old != nil {
			return []string{r.Name}
		}
		all, _ := c.ranges.List(labels.Everything())
		return append(overlapping(r, all), r.Name)
	}); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, in.IPAddresses().Informer(), func(old, a *networkingv1.IPAddress, _ bool) []string {
		addr, err := netip.ParseAddr(a.Name)
		if old != nil || err != nil || a.Labels[networkingv1.LabelManagedBy] != managedBy {
			return nil
		}
		var waiting []string
		all, _ := c.ranges.List(labels.Everything())
		for _, r := range all {
			for _, p := range prefixes(r) {
				if !r.DeletionTimestamp.IsZero() && contains(p, addr) {
					waiting = append(waiting, r.Name)
				}
			}
		}
		return waiting
	})
}

// Run implements controller.Controller.
func (c *protector) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *protector) reconcile(ctx context.Context, key string) (controller.Result, error) {
	is, err := c.ranges.Get(key)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	all, err := c.ranges.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	var given []netip.Addr
	if !is.DeletionTimestamp.IsZero() {
		if given, err = c.given(); err != nil {
			return controller.Done, err
		}
	}
	p := decide(is, all, given, c.env.Clock.Now())
	client := c.env.Client.NetworkingV1().ServiceCIDRs()
	if p.changeFinalizers {
		o := is.DeepCopy()
		o.Finalizers = p.finalizers
		if _, err := client.Update(ctx, o, metav1.UpdateOptions{}); err != nil {
			return controller.Done, err
		}
	}
	if p.condition != nil {
		says := applymeta.Condition().WithType(p.condition.Type).WithStatus(p.condition.Status).WithReason(p.condition.Reason).
			WithMessage(p.condition.Message).WithLastTransitionTime(p.condition.LastTransitionTime)
		_, err := client.ApplyStatus(ctx, apply.ServiceCIDR(is.Name).WithStatus(apply.ServiceCIDRStatus().WithConditions(says)),
			metav1.ApplyOptions{FieldManager: name, Force: true})
		if err != nil {
			if is.DeletionTimestamp.IsZero() && !apierrors.IsConflict(err) {
				c.env.Events.Event(is, v1.EventTypeWarning, "KubernetesServiceCIDRError", "The ServiceCIDR Status can not be set to Ready=True")
			}
			return controller.Done, err
		}
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

// given are the addresses that API servers have given.
func (c *protector) given() ([]netip.Addr, error) {
	list, err := c.addresses.List(labels.SelectorFromSet(labels.Set{networkingv1.LabelManagedBy: managedBy}))
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		if addr, err := netip.ParseAddr(a.Name); err == nil {
			out = append(out, addr)
		}
	}
	return out, nil
}
