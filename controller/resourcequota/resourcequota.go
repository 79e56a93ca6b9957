package resourcequota

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/admission/resourcequota/usage"
	"proa/controller"
)

const (
	// quiet is how long a quota must have been left alone before its usage is
	// lowered, and impatience how long it is waited for that. Someone who
	// makes objects without a pause would otherwise never get back what he
	// deletes.
	quiet      = 250 * time.Millisecond
	impatience = 5 * time.Second
	// resync is the safety net under the events.
	resync = 5 * time.Minute
)

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "resourcequota-controller", ServiceAccount: "resourcequota-controller", New: newController}
}

type quotas struct {
	env    controller.Env
	loop   *controller.Loop[controller.Key]
	quotas corelisters.ResourceQuotaLister
	count  *counter

	mu      sync.Mutex
	lowered map[controller.Key]observation // of quotas whose usage is to be lowered
}

// observation is since when a quota has been seen at a revision, and since
// when it has been known to be too high.
type observation struct {
	revision     string
	since, first time.Time
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &quotas{env: env, quotas: core.ResourceQuotas().Lister(), lowered: map[controller.Key]observation{}}
	c.loop = controller.NewLoop("resourcequota", env, 2, c.reconcile)
	c.count = newCounter(env, c.inNamespace)
	if err := controller.Watch(c.loop, core.ResourceQuotas().Informer(), func(_, q *v1.ResourceQuota, _ bool) []controller.Key {
		return []controller.Key{{Namespace: q.Namespace, Name: q.Name}}
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		if deleted || old != nil && lessPod(old, pod) {
			return c.keys(pod.Namespace)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Services().Informer(), func(old, s *v1.Service, deleted bool) []controller.Key {
		if deleted || old != nil && !equality.Semantic.DeepEqual(old.Spec, s.Spec) {
			return c.keys(s.Namespace)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, core.PersistentVolumeClaims().Informer(), func(old, p *v1.PersistentVolumeClaim, deleted bool) []controller.Key {
		if deleted || old != nil && old.ResourceVersion != p.ResourceVersion {
			return c.keys(p.Namespace)
		}
		return nil
	})
}

// lessPod reports whether a pod may use less than it did: it has ended, or was
// resized.
func lessPod(old, pod *v1.Pod) bool {
	return old.Status.Phase != pod.Status.Phase && (pod.Status.Phase == v1.PodFailed || pod.Status.Phase == v1.PodSucceeded) ||
		old.Generation != pod.Generation
}

// Run implements controller.Controller.
func (c *quotas) Run(ctx context.Context) error {
	defer c.count.stop()
	return c.loop.Run(ctx)
}

// keys are the quotas of a namespace.
func (c *quotas) keys(namespace string) []controller.Key {
	list, err := c.quotas.ResourceQuotas(namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	keys := make([]controller.Key, len(list))
	for i, q := range list {
		keys[i] = controller.Key{Namespace: namespace, Name: q.Name}
	}
	return keys
}

func (c *quotas) inNamespace(namespace string) {
	for _, k := range c.keys(namespace) {
		c.loop.Add(k)
	}
}

func (c *quotas) reconcile(ctx context.Context, k controller.Key) (controller.Result, error) {
	q, err := c.quotas.ResourceQuotas(k.Namespace).Get(k.Name)
	if apierrors.IsNotFound(err) {
		c.forget(k)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	used, err := c.count.used(ctx, q, now)
	if err != nil {
		return controller.Done, err
	}
	next, lower := decide(q, used)
	if next == nil {
		c.forget(k)
		return controller.Again(resync), nil
	}
	if wait := c.wait(k, q.ResourceVersion, lower, now); wait > 0 {
		return controller.Again(wait), nil
	}
	if _, err = c.env.Client.CoreV1().ResourceQuotas(k.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		return controller.Done, err
	}
	c.forget(k)
	return controller.Again(resync), nil
}

func (c *quotas) forget(k controller.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lowered, k)
}

// wait says how long to leave a quota alone before its usage is lowered.
func (c *quotas) wait(k controller.Key, revision string, lower bool, now time.Time) time.Duration {
	if !lower {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.lowered[k]
	if !ok {
		o.first = now
	}
	if o.revision != revision {
		o.revision, o.since = revision, now
	}
	c.lowered[k] = o
	if now.Sub(o.first) >= impatience {
		return 0
	}
	return o.since.Add(quiet).Sub(now)
}

// decide returns the quota with the status that it is to have, or nil where it
// has that. lower says that some usage goes down.
func decide(q *v1.ResourceQuota, used v1.ResourceList) (next *v1.ResourceQuota, lower bool) {
	status := v1.ResourceQuotaStatus{Hard: q.Spec.Hard.DeepCopy(), Used: v1.ResourceList{}}
	for n := range q.Spec.Hard {
		status.Used[n] = used[n]
		if was, ok := q.Status.Used[n]; ok {
			now := used[n]
			lower = lower || now.Cmp(was) < 0
		}
	}
	if equality.Semantic.DeepEqual(q.Status.Hard, status.Hard) && equality.Semantic.DeepEqual(q.Status.Used, status.Used) {
		return nil, false
	}
	next = q.DeepCopy()
	next.Status = status
	// What differs only in how it is written stays as it was.
	for n, v := range status.Used {
		if was, ok := q.Status.Used[n]; ok && was.Cmp(v) == 0 {
			next.Status.Used[n] = was
		}
	}
	return next, lower
}

// sum adds up what a list of objects uses of a quota.
func sum[T any](list []T, of func(T) v1.ResourceList, hard v1.ResourceList) v1.ResourceList {
	total := v1.ResourceList{}
	for _, o := range list {
		total = usage.Add(total, usage.Relevant(of(o), hard))
	}
	return total
}
