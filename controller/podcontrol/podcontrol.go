// Package podcontrol makes, removes and claims pods for the controllers that
// own them, with the events and in the way that all of these have in common.
package podcontrol

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"proa/controller"
	"proa/controller/owned"
)

// Owner is the object of a controller that has pods.
type Owner interface {
	metav1.Object
	runtime.Object
}

// Control works on the pods of owners of one kind.
type Control struct {
	Env  controller.Env
	Kind schema.GroupVersionKind
	Pods *owned.Index[*v1.Pod]
	// Adopts says which orphans that the selector matches are an owner's; nil:
	// all of them.
	Adopts func(owner metav1.Object, pod *v1.Pod) bool
}

// Owners names the owners that an event on a pod concerns, and takes note of
// creations and deletions that were waited for. candidates are the owners that
// would adopt an orphan.
func (c Control) Owners(expect *controller.Expectations[controller.Key], old, pod *v1.Pod, deleted bool, candidates func(*v1.Pod) []controller.Key) []controller.Key {
	var keys []controller.Key
	owner, ok := c.owner(pod)
	if ok {
		keys = append(keys, owner)
		switch {
		case deleted, pod.DeletionTimestamp != nil:
			expect.DeletionObserved(owner, pod.UID)
		case old == nil:
			expect.CreationObserved(owner)
		}
	}
	if old != nil {
		if before, ok := c.owner(old); ok && before != owner {
			keys = append(keys, before)
		}
	}
	if metav1.GetControllerOfNoCopy(pod) == nil && !deleted {
		keys = append(keys, candidates(pod)...)
	}
	return keys
}

func (c Control) owner(pod *v1.Pod) (controller.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != c.Kind.Kind || ref.APIVersion != c.Kind.GroupVersion().String() {
		return controller.Key{}, false
	}
	return controller.Key{Namespace: pod.Namespace, Name: ref.Name}, true
}

// New makes the pod of a template, with a generated name.
func (c Control) New(owner Owner, t *v1.PodTemplateSpec) *v1.Pod {
	t = t.DeepCopy()
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: owner.GetNamespace(), GenerateName: owner.GetName() + "-", Labels: t.Labels, Annotations: t.Annotations,
		Finalizers: t.Finalizers, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, c.Kind)},
	}, Spec: t.Spec}
}

// Create creates a pod. That the namespace is going away is no error: so is
// everything in it.
func (c Control) Create(ctx context.Context, owner Owner, pod *v1.Pod) error {
	p, err := c.Env.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	switch {
	case err == nil:
		c.Env.Events.Eventf(owner, v1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", p.Name)
		return nil
	case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
		return nil
	}
	c.Env.Events.Eventf(owner, v1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	return err
}

// Delete deletes a pod. One that is gone already is an error of IsNotFound.
func (c Control) Delete(ctx context.Context, owner Owner, pod *v1.Pod) error {
	err := c.Env.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	switch {
	case err == nil:
		c.Env.Events.Eventf(owner, v1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", pod.Name)
	case !apierrors.IsNotFound(err):
		c.Env.Events.Eventf(owner, v1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
	}
	return err
}

// Claim adopts and releases, and returns the pods that the owner has. live
// reads the owner from the API: the cache may not know yet that it is being
// deleted, or that there is another one of its name.
func (c Control) Claim(ctx context.Context, owner metav1.Object, selector labels.Selector, live func(context.Context) (metav1.Object, error)) ([]*v1.Pod, error) {
	orphans := c.Pods.Orphans(owner.GetNamespace())
	if c.Adopts != nil {
		orphans = slices.DeleteFunc(orphans, func(p *v1.Pod) bool { return !c.Adopts(owner, p) })
	}
	claim := owned.Sort(owner, selector, c.Pods.By(owner.GetUID()), orphans)
	return Settle(ctx, owner, c.Kind, claim, live, c.patch)
}

func (c Control) patch(ctx context.Context, pod *v1.Pod, patch []byte) error {
	_, err := c.Env.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// Settle carries out a claim on objects of any kind by patches, and returns
// those that are owned then.
func Settle[T metav1.Object](ctx context.Context, owner metav1.Object, kind schema.GroupVersionKind, claim owned.Claim[T],
	live func(context.Context) (metav1.Object, error), patch func(context.Context, T, []byte) error) ([]T, error) {
	mine := claim.Keep
	if len(claim.Adopt) > 0 {
		now, err := live(ctx)
		if err != nil {
			return nil, err
		}
		if now.GetUID() != owner.GetUID() || now.GetDeletionTimestamp() != nil {
			return nil, fmt.Errorf("%s %s/%s is gone or being deleted; it adopts nothing", kind.Kind, owner.GetNamespace(), owner.GetName())
		}
	}
	for _, o := range claim.Adopt {
		b, err := owned.AdoptPatch(owner, kind, o.GetUID())
		if err != nil {
			return nil, err
		}
		if err := passing(patch(ctx, o, b)); err != nil {
			return nil, err
		}
		mine = append(mine, o)
	}
	for _, o := range claim.Release {
		b, err := owned.ReleasePatch(owner, o.GetUID())
		if err != nil {
			return nil, err
		}
		if err := passing(patch(ctx, o, b)); err != nil {
			return nil, err
		}
	}
	return mine, nil
}

// passing leaves out the errors of an object that is gone, or is another one of
// the same name.
func passing(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return err
}
