package garbage

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"proa/controller"
)

const workers = 10

// syncTimeout is how long the collector waits for the first list of every
// resource. One that cannot be listed, as of an extension that is away, must not
// hold up the others.
const syncTimeout = 30 * time.Second

// Definition of the garbage collector.
func Definition() controller.Definition {
	return controller.Definition{Name: "garbage-collector-controller", ServiceAccount: "generic-garbage-collector", New: newController}
}

type collector struct {
	env       controller.Env
	graph     *graph
	resources *resources
	check     *controller.Loop[types.UID]
	orphan    *controller.Loop[types.UID]
}

func newController(env controller.Env) (controller.Controller, error) {
	c := &collector{env: env, graph: newGraph()}
	c.resources = newResources(env, c.events, c.forget)
	c.check = controller.NewLoop("garbage", env, workers, c.checkOne)
	c.orphan = controller.NewLoop("garbage-orphan", env, workers, c.orphanOne)
	return c, nil
}

// events keep the graph true for one resource.
func (c *collector) events(s served) cache.ResourceEventHandler {
	set := func(o any) {
		if m, ok := o.(metav1.Object); ok {
			c.add(c.graph.set(identity{s.gvk, m.GetNamespace(), m.GetName(), m.GetUID()}, m))
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, o any) { set(o) },
		DeleteFunc: c.forget,
	}
}

// forget takes an object out of the graph.
func (c *collector) forget(o any) {
	if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = t.Obj
	}
	if m, ok := o.(metav1.Object); ok {
		c.add(c.graph.remove(m.GetUID()))
	}
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
	ctx, cancel := context.WithCancel(ctx)
	// The first look at the resources may be cut short.
	defer c.check.Close()
	defer c.orphan.Close()
	defer c.resources.close()
	defer cancel()
	if err := c.resources.first(ctx); err != nil {
		return err
	}
	c.sync(ctx)
	var wg sync.WaitGroup
	var first, second error
	wg.Go(func() { c.resources.follow(ctx) })
	wg.Go(func() { first = c.check.Run(ctx) })
	wg.Go(func() { second = c.orphan.Run(ctx) })
	wg.Wait()
	if first != nil {
		return first
	}
	return second
}

// sync waits until the graph is whole, within bounds.
func (c *collector) sync(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), c.resources.synced) {
		c.env.Log.Info("not every resource could be listed in time; the collector works on those that could")
	}
}
