package replicaset

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"proa/controller"
	"proa/controller/owned"
)

const workers = 5

type replicaSets struct {
	env    controller.Env
	kind   kind
	loop   *controller.Loop[controller.Key]
	pods   *owned.Index[*v1.Pod]
	expect *controller.Expectations[controller.Key]
}

func newController(env controller.Env, k kind) (controller.Controller, error) {
	podInformer := env.Informers.Core().V1().Pods().Informer()
	pods, err := owned.NewIndex[*v1.Pod](podInformer)
	if err != nil {
		return nil, err
	}
	c := &replicaSets{env: env, kind: k, pods: pods, expect: controller.NewExpectations[controller.Key](env.Clock)}
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
	var keys []controller.Key
	owner, ok := c.owner(pod)
	if ok {
		keys = append(keys, owner)
		switch {
		case deleted, pod.DeletionTimestamp != nil:
			c.expect.DeletionObserved(owner, pod.UID)
		case old == nil:
			c.expect.CreationObserved(owner)
		}
	}
	if old != nil {
		if before, ok := c.owner(old); ok && before != owner {
			keys = append(keys, before)
		}
	}
	if metav1.GetControllerOfNoCopy(pod) == nil && !deleted {
		keys = append(keys, c.candidates(pod)...)
	}
	return keys
}

func (c *replicaSets) owner(pod *v1.Pod) (controller.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != c.kind.gvk.Kind || ref.APIVersion != c.kind.gvk.GroupVersion().String() {
		return controller.Key{}, false
	}
	return controller.Key{Namespace: pod.Namespace, Name: ref.Name}, true
}

// candidates are the sets that would adopt an orphan.
func (c *replicaSets) candidates(pod *v1.Pod) []controller.Key {
	sets, err := c.kind.all(pod.Namespace)
	if err != nil {
		return nil
	}
	var keys []controller.Key
	for _, s := range sets {
		if s.selector.Matches(labels.Set(pod.Labels)) {
			keys = append(keys, controller.Key{Namespace: s.GetNamespace(), Name: s.GetName()})
		}
	}
	return keys
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
	claim := owned.Sort(s, s.selector, c.pods.By(s.GetUID()), c.pods.Orphans(s.GetNamespace()))
	pods := claim.Keep
	if len(claim.Adopt) > 0 {
		// The cache may not know yet that the set is being deleted, or is
		// another one of the same name: ask the API before taking pods.
		live, err := c.kind.live(ctx, key)
		if err != nil {
			return nil, err
		}
		if live.GetUID() != s.GetUID() || live.deleting {
			return nil, fmt.Errorf("%s %s is gone or being deleted; it adopts nothing", c.kind.name, key)
		}
	}
	for _, pod := range claim.Adopt {
		patch, err := owned.AdoptPatch(s, c.kind.gvk, pod.UID)
		if err != nil {
			return nil, err
		}
		if err := c.patch(ctx, pod, patch); err != nil {
			return nil, err
		}
		pods = append(pods, pod)
	}
	for _, pod := range claim.Release {
		patch, err := owned.ReleasePatch(s, pod.UID)
		if err != nil {
			return nil, err
		}
		if err := c.patch(ctx, pod, patch); err != nil {
			return nil, err
		}
	}
	return pods, nil
}

func (c *replicaSets) patch(ctx context.Context, pod *v1.Pod, patch []byte) error {
	_, err := c.env.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil // the pod is gone, or is another one of the same name
	}
	return err
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
		made, err := slowStart(p.create, func() error { return c.create(ctx, s) })
		for range p.create - made {
			c.expect.CreationObserved(key)
		}
		return err
	}
	for _, pod := range p.remove {
		c.expect.ExpectDeletion(key, pod.UID)
	}
	return each(p.remove, func(pod *v1.Pod) error {
		err := c.remove(ctx, s, pod)
		if err != nil {
			c.expect.DeletionObserved(key, pod.UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

func (c *replicaSets) create(ctx context.Context, s *set) error {
	t := s.template.DeepCopy()
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.GetNamespace(), GenerateName: s.GetName() + "-", Labels: t.Labels, Annotations: t.Annotations,
		Finalizers: t.Finalizers, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, c.kind.gvk)},
	}, Spec: t.Spec}
	made, err := c.env.Client.CoreV1().Pods(s.GetNamespace()).Create(ctx, pod, metav1.CreateOptions{})
	switch {
	case err == nil:
		c.env.Events.Eventf(s.api, v1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", made.Name)
	case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
		return nil // everything here is going away
	default:
		c.env.Events.Eventf(s.api, v1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return err
}

func (c *replicaSets) remove(ctx context.Context, s *set, pod *v1.Pod) error {
	err := c.env.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	switch {
	case err == nil:
		c.env.Events.Eventf(s.api, v1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", pod.Name)
	case !apierrors.IsNotFound(err):
		c.env.Events.Eventf(s.api, v1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
	}
	return err
}
