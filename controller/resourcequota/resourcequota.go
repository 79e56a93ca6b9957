package resourcequota

import (
	"context"
	"reflect"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"proa/admission/resourcequota/usage"
	"proa/controller"
	"proa/resource"
)

// resync is the safety net under the events.
const resync = 5 * time.Minute

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "resourcequota-controller", ServiceAccount: "resourcequota-controller", New: newController}
}

type quotas struct {
	env    controller.Env
	loop   *controller.Loop[controller.Key]
	quotas corelisters.ResourceQuotaLister
	count  *counter
	books  books
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &quotas{env: env, quotas: core.ResourceQuotas().Lister(), books: books{accounts: map[controller.Key]*account{}}}
	c.loop = controller.NewLoop("resourcequota", env, 2, c.reconcile)
	c.count = newCounter(env, c.lost)
	if err := controller.Watch(c.loop, core.ResourceQuotas().Informer(), func(old, q *v1.ResourceQuota, deleted bool) []controller.Key {
		k := controller.Key{Namespace: q.Namespace, Name: q.Name}
		switch {
		case deleted || old != nil && old.UID != q.UID:
			c.books.close(k)
		case old != nil:
			c.books.charged(k, increase(old.Status.Used, q.Status.Used), env.Clock.Now())
		}
		return []controller.Key{k}
	}); err != nil {
		return nil, err
	}
	if err := watchUsage[*v1.Pod](c, core.Pods().Informer(), "pods"); err != nil {
		return nil, err
	}
	if err := watchUsage[*v1.Service](c, core.Services().Informer(), "services"); err != nil {
		return nil, err
	}
	return c, watchUsage[*v1.PersistentVolumeClaim](c, core.PersistentVolumeClaims().Informer(), "persistentvolumeclaims")
}

// watchUsage gives back what objects of a core resource use less than they did.
func watchUsage[T resource.Object](c *quotas, informer cache.SharedIndexInformer, plural string) error {
	gr := schema.GroupResource{Resource: plural}
	var none T
	return controller.Watch(c.loop, informer, func(old, obj T, deleted bool) []controller.Key {
		switch {
		case deleted:
			return c.giveBack(gr, obj, none)
		case any(old) == any(none):
			return nil
		case old.GetUID() != obj.GetUID():
			// Deleted and made anew while the watch was down; the new one was
			// charged by itself.
			return c.giveBack(gr, old, none)
		}
		return c.giveBack(gr, old, obj)
	})
}

// giveBack credits the quotas of a namespace with what an object uses less than
// before, and returns those that it concerns. A nil object uses nothing.
func (c *quotas) giveBack(gr schema.GroupResource, was, is resource.Object) []controller.Key {
	list, err := c.quotas.ResourceQuotas(was.GetNamespace()).List(labels.Everything())
	if err != nil {
		return nil
	}
	now := c.env.Clock.Now()
	var keys []controller.Key
	for _, q := range list {
		less := increase(usedOf(q, gr, is, now), usedOf(q, gr, was, now))
		if len(less) == 0 {
			continue
		}
		k := controller.Key{Namespace: q.Namespace, Name: q.Name}
		c.books.credit(k, less, now)
		keys = append(keys, k)
	}
	return keys
}

// usedOf is what an object takes from a quota.
func usedOf(q *v1.ResourceQuota, gr schema.GroupResource, obj resource.Object, now time.Time) v1.ResourceList {
	if v := reflect.ValueOf(obj); !v.IsValid() || v.IsNil() || !usage.Matches(&q.Spec, obj) {
		return nil
	}
	return usage.Relevant(usage.Of(gr, obj, now), q.Spec.Hard)
}

// Run implements controller.Controller.
func (c *quotas) Run(ctx context.Context) error {
	defer c.count.stop()
	return c.loop.Run(ctx)
}

// lost takes in that an object is gone of which only the number counts.
func (c *quotas) lost(gr schema.GroupResource, gone *metav1.PartialObjectMetadata) {
	for _, k := range c.giveBack(gr, gone, nil) {
		c.loop.Add(k)
	}
}

func (c *quotas) reconcile(ctx context.Context, k controller.Key) (controller.Result, error) {
	q, err := c.quotas.ResourceQuotas(k.Namespace).Get(k.Name)
	if apierrors.IsNotFound(err) {
		c.books.close(k)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	// In this order: what has been credited is not in the informers any more.
	a := c.books.read(k, now)
	used, err := c.count.used(ctx, q, now)
	if err != nil {
		return controller.Done, err
	}
	p := decide(q, used, a)
	again := controller.Again(resync)
	if p.above {
		again = controller.Again(a.later.Sub(now))
	}
	if p.next == nil {
		return again, nil
	}
	_, err = c.env.Client.CoreV1().ResourceQuotas(k.Namespace).UpdateStatus(ctx, p.next, metav1.UpdateOptions{})
	switch {
	case err == nil:
		c.books.settle(k, a.credit, p.counted, c.env.Clock.Now())
	case !apierrors.IsConflict(err):
		// It may have been written. What was to be given back is counted again.
		c.books.settle(k, a.credit, false, now)
	}
	if err != nil {
		return controller.Done, err
	}
	return again, nil
}
