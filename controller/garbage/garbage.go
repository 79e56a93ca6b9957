package garbage

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/cache"

	"proa/controller"
)

const workers = 10

// Definition of the garbage collector.
func Definition() controller.Definition {
	return controller.Definition{Name: "garbage-collector-controller", ServiceAccount: "generic-garbage-collector", New: newController}
}

type collector struct {
	env    controller.Env
	graph  *graph
	check  *controller.Loop[types.UID]
	orphan *controller.Loop[types.UID]
	// kinds are the watched resources by kind, and whether they have namespaces.
	kinds map[schema.GroupVersionKind]kindInfo
}

type kindInfo struct {
	resource   schema.GroupVersionResource
	namespaced bool
}

// ignored resources own nothing, are owned by nothing, and are many.
var ignored = map[schema.GroupResource]bool{
	{Resource: "events"}:                         true,
	{Group: "events.k8s.io", Resource: "events"}: true,
}

func newController(env controller.Env) (controller.Controller, error) {
	c := &collector{env: env, graph: newGraph(), kinds: map[schema.GroupVersionKind]kindInfo{}}
	c.check = controller.NewLoop("garbage", env, workers, c.checkOne)
	c.orphan = controller.NewLoop("garbage-orphan", env, workers, c.orphanOne)
	return c, nil
}

// discover watches every resource that can be deleted. It tries until it has
// learned of them all: a collector that does not see an owner would not see its
// dependents either.
func (c *collector) discover(ctx context.Context) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		lists, err := discovery.ServerPreferredResources(c.env.Discovery)
		if err == nil {
			return c.watchAll(lists)
		}
		c.env.Log.Info("the resources of the server cannot be listed yet", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.env.Clock.After(wait):
		}
	}
}

// Delays between attempts to find out which resources there are.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = 10 * time.Second
)

func (c *collector) watchAll(lists []*metav1.APIResourceList) error {
	deletable := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"delete", "list", "watch"}}, lists)
	for _, list := range deletable {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return fmt.Errorf("discovery: %w", err)
		}
		for _, r := range list.APIResources {
			gvr := gv.WithResource(r.Name)
			if ignored[gvr.GroupResource()] {
				continue
			}
			gvk := gv.WithKind(r.Kind)
			c.kinds[gvk] = kindInfo{gvr, r.Namespaced}
			if err := c.watch(gvk, gvr); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch keeps the graph true for one resource, through the informer that other
// controllers share.
func (c *collector) watch(gvk schema.GroupVersionKind, gvr schema.GroupVersionResource) error {
	inf, err := c.env.Informers.ForResource(gvr)
	if err != nil {
		return fmt.Errorf("watch %s: %w", gvr, err)
	}
	set := func(o any) {
		if m, ok := o.(metav1.Object); ok {
			c.add(c.graph.set(identity{gvk, m.GetNamespace(), m.GetName(), m.GetUID()}, m))
		}
	}
	return controller.Observe(c.check, inf.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, o any) { set(o) },
		DeleteFunc: func(o any) {
			if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			if m, ok := o.(metav1.Object); ok {
				c.add(c.graph.remove(m.GetUID()))
			}
		},
	})
}

func (c *collector) add(w work) {
	for _, uid := range w.check {
		c.check.Add(uid)
	}
	for _, uid := range w.orphan {
		c.orphan.Add(uid)
	}
}

// Run implements controller.Controller.
func (c *collector) Run(ctx context.Context) error {
	if err := c.discover(ctx); err != nil {
		return err
	}
	c.env.Informers.Start(ctx.Done()) // those that nobody else has asked for
	var wg sync.WaitGroup
	var first, second error
	wg.Go(func() { first = c.check.Run(ctx) })
	wg.Go(func() { second = c.orphan.Run(ctx) })
	wg.Wait()
	if first != nil {
		return first
	}
	return second
}
