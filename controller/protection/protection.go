package protection

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller"
)

// object is what is protected, as a pointer to T.
type object[T any] interface {
	*T
	metav1.Object
	DeepCopy() *T
}

// guard protects the objects of one kind.
type guard[T any, P object[T]] struct {
	finalizer string
	loop      *controller.Loop[controller.Key]
	// get reads from the cache.
	get func(controller.Key) (*T, error)
	// used tells whether something still needs an object that is to be deleted.
	used func(context.Context, *T) (bool, error)
	// update writes an object back.
	update func(context.Context, *T) error
}

// Run implements controller.Controller.
func (g *guard[T, P]) Run(ctx context.Context) error { return g.loop.Run(ctx) }

func (g *guard[T, P]) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	is, err := g.get(key)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	used := true
	if o := P(is); o.GetDeletionTimestamp() != nil && slices.Contains(o.GetFinalizers(), g.finalizer) {
		if used, err = g.used(ctx, is); err != nil {
			return controller.Done, err
		}
	}
	finalizers, change := decide(P(is), g.finalizer, used)
	if !change {
		return controller.Done, nil
	}
	o := P(is).DeepCopy()
	P(o).SetFinalizers(finalizers)
	return controller.Done, g.update(ctx, o)
}

// decide returns the finalizers that an object is to have, and whether that is a
// change.
func decide(o metav1.Object, finalizer string, used bool) ([]string, bool) {
	has, deleting := slices.Contains(o.GetFinalizers(), finalizer), o.GetDeletionTimestamp() != nil
	switch {
	case deleting && has && !used:
		return slices.DeleteFunc(slices.Clone(o.GetFinalizers()), func(f string) bool { return f == finalizer }), true
	case !deleting && !has:
		return append(slices.Clone(o.GetFinalizers()), finalizer), true
	}
	return nil, false
}
