package namespace

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
)

const workers = 5

var pods = v1.SchemeGroupVersion.WithResource("pods")

// Definition of the namespace controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "namespace-controller", ServiceAccount: "namespace-controller", New: newController}
}

type namespaces struct {
	env    controller.Env
	loop   *controller.Loop[string]
	lister corelisters.NamespaceLister
}

func newController(env controller.Env) (controller.Controller, error) {
	inf := env.Informers.Core().V1().Namespaces()
	c := &namespaces{env: env, lister: inf.Lister()}
	c.loop = controller.NewLoop("namespace", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, inf.Informer(), func(_, ns *v1.Namespace, deleted bool) []string {
		if deleted || ns.DeletionTimestamp == nil {
			return nil
		}
		return []string{ns.Name}
	}); err != nil {
		return nil, err
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *namespaces) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *namespaces) reconcile(ctx context.Context, name string) (controller.Result, error) {
	ns, err := c.lister.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, v1.FinalizerKubernetes) {
		return controller.Done, nil
	}
	if ns.Status.Phase != v1.NamespaceTerminating {
		next := ns.DeepCopy()
		next.Status.Phase = v1.NamespaceTerminating
		// The update comes back as an event; the sweep follows it.
		_, err := c.env.Client.CoreV1().Namespaces().UpdateStatus(ctx, next, metav1.UpdateOptions{})
		return controller.Done, err
	}
	r := c.sweep(ctx, name)
	if r.empty() {
		return controller.Done, c.finalize(ctx, ns)
	}
	next := ns.DeepCopy()
	next.Status.Conditions = r.conditions(ns.Status.Conditions, metav1.NewTime(c.env.Clock.Now()))
	if !equality.Semantic.DeepEqual(next.Status, ns.Status) {
		if _, err := c.env.Client.CoreV1().Namespaces().UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
			return controller.Done, err
		}
	}
	if r.discovery != nil {
		return controller.Done, r.discovery
	}
	if r.failed != nil {
		return controller.Done, r.failed
	}
	return controller.Again(r.wait()), nil
}

func (c *namespaces) finalize(ctx context.Context, ns *v1.Namespace) error {
	next := ns.DeepCopy()
	next.Spec.Finalizers = slices.DeleteFunc(next.Spec.Finalizers, func(f v1.FinalizerName) bool { return f == v1.FinalizerKubernetes })
	_, err := c.env.Client.CoreV1().Namespaces().Finalize(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// sweep deletes all that is in the namespace and reports what is left.
func (c *namespaces) sweep(ctx context.Context, namespace string) *remains {
	r := &remains{objects: map[schema.GroupVersionResource]int{}, finalizers: map[string]int{}}
	lists, err := c.env.Discovery.ServerPreferredNamespacedResources()
	r.discovery = err // what was discovered in spite of it is swept all the same
	all, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"delete", "list"}}, lists))
	if err != nil && r.discovery == nil {
		r.discovery = err
	}
	bulk, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"deletecollection"}}, lists))
	if err != nil && r.discovery == nil {
		r.discovery = err
	}
	// Pods go before what they use: a pod that still ends may need its volumes,
	// and must not outlive the network policies that confine it.
	if _, ok := all[pods]; ok {
		_, canBulk := bulk[pods]
		if err := c.sweepResource(ctx, pods, namespace, canBulk, r); err != nil {
			r.failed = fmt.Errorf("%s: %w", pods.GroupResource(), err)
		}
		if r.failed != nil || r.objects[pods] > 0 {
			return r
		}
		delete(all, pods)
	}
	for gvr := range all {
		_, canBulk := bulk[gvr]
		if err := c.sweepResource(ctx, gvr, namespace, canBulk, r); err != nil && r.failed == nil {
			r.failed = fmt.Errorf("%s: %w", gvr.GroupResource(), err)
		}
	}
	return r
}

func (c *namespaces) sweepResource(ctx context.Context, gvr schema.GroupVersionResource, namespace string, bulk bool, r *remains) error {
	client := c.env.Metadata.Resource(gvr).Namespace(namespace)
	background := metav1.DeletePropagationBackground
	opts := metav1.DeleteOptions{PropagationPolicy: &background}
	list, err := client.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(list.Items) == 0 {
		return nil
	}
	if bulk {
		err = client.DeleteCollection(ctx, opts, metav1.ListOptions{})
	}
	if !bulk || apierrors.IsMethodNotSupported(err) {
		err = nil
		for i := range list.Items {
			if list.Items[i].DeletionTimestamp != nil {
				continue
			}
			if e := client.Delete(ctx, list.Items[i].Name, opts); e != nil && !apierrors.IsNotFound(e) && err == nil {
				err = e
			}
		}
	}
	if err != nil {
		return err
	}
	if list, err = client.List(ctx, metav1.ListOptions{}); err != nil {
		return err
	}
	for i := range list.Items {
		o := &list.Items[i]
		r.objects[gvr]++
		for _, f := range o.Finalizers {
			r.finalizers[f]++
		}
		if o.DeletionGracePeriodSeconds != nil {
			r.soon = max(r.soon, time.Duration(*o.DeletionGracePeriodSeconds)*time.Second)
		}
	}
	return nil
}
