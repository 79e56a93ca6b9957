package replicaset

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"proa/controller"
	"proa/controller/owned"
	"proa/controller/podcontrol"
)

const workers = 5

type replicaSets struct {
	env     controller.Env
	kind    kind
	loop    *controller.Loop[controller.Key]
	pods    *owned.Index[*v1.Pod]
	expect  *controller.Expectations[controller.Key]
	control podcontrol.Control
}

func newController(env controller.Env, k kind) (controller.Controller, error) {
	podInformer := env.Informers.Core().V1().Pods().Informer()
	pods, err := owned.NewIndex[*v1.Pod](podInformer)
	if err != nil {
		return nil, err
	}
	c := &replicaSets{env: env, kind: k, pods: pods, expect: controller.NewExpectations[controller.Key](env.Clock),
		control: podcontrol.Control{Env: env, Kind: k.gvk, Pods: pods}}
	c.loop = controller.NewLoop(k.name, env, workers, c.reconcile)
	if err := controller.Watch(c.loop, k.informer, controller.Self[metav1.Object]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, podInformer, c.setsOf); err != nil {
		return nil, err
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *replicaSets) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// setsOf names the sets that an event on a pod concerns, and takes note of
// creations and deletions that were waited for.
func (c *replicaSets) setsOf(old, pod *v1.Pod, deleted bool) []controller.Key {
	return c.control.Owners(c.expect, old, pod, deleted, c.candidates)
}

// candidates are the sets that would adopt an orphan.
func (c *replicaSets) candidates(pod *v1.Pod) []controller.Key {
	sets, err := c.kind.all(pod.Namespace)
	return controller.Keys(slices.DeleteFunc(sets, func(s *set) bool { return !s.selector.Matches(labels.Set(pod.Labels)) }), err)
}

func (c *replicaSets) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	settled := c.expect.Satisfied(key)
	s, err := c.kind.get(key)
	if apierrors.IsNotFound(err) {
		c.expect.Forget(key)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	pods, err := c.claim(ctx, key, s)
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	p := decide(s, pods, c.peers(s, pods), settled, now)
	failure := c.apply(ctx, key, s, p)
	if err := c.kind.writeStatus(ctx, s, p.status, failure, metav1.NewTime(now)); err != nil {
		return controller.Done, err
	}
	if failure != nil {
		return controller.Done, failure
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

// claim adopts and releases, and returns the pods that the set owns.
func (c *replicaSets) claim(ctx context.Context, key controller.Key, s *set) ([]*v1.Pod, error) {
	return c.control.Claim(ctx, s, s.selector, func(ctx context.Context) (metav1.Object, error) { return c.kind.live(ctx, key) })
}

// peers are the pods of all sets with the same owner (the other replica sets
// of a deployment), among which removal spreads what remains.
func (c *replicaSets) peers(s *set, pods []*v1.Pod) []*v1.Pod {
	ref := metav1.GetControllerOfNoCopy(s)
	if ref == nil {
		return pods
	}
	sets, err := c.kind.all(s.GetNamespace())
	if err != nil {
		return pods
	}
	out := pods
	for _, o := range sets {
		if r := metav1.GetControllerOfNoCopy(o); r != nil && r.UID == ref.UID && o.GetUID() != s.GetUID() {
			out = append(out[:len(out):len(out)], c.pods.By(o.GetUID())...)
		}
	}
	return out
}

// apply makes and removes pods. It returns the first error, after which it
// tries no further.
func (c *replicaSets) apply(ctx context.Context, key controller.Key, s *set, p plan) error {
	if p.create > 0 {
		c.expect.ExpectCreations(key, p.create)
		made, err := podcontrol.SlowStart(p.create, func() error {
			return c.control.Create(ctx, s.api, c.control.New(s.api, s.template))
		})
		for range p.create - made {
			c.expect.CreationObserved(key)
		}
		return err
	}
	for _, pod := range p.remove {
		c.expect.ExpectDeletion(key, pod.UID)
	}
	return podcontrol.Each(p.remove, func(pod *v1.Pod) error {
		err := c.control.Delete(ctx, s.api, pod)
		if err != nil {
			c.expect.DeletionObserved(key, pod.UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}
