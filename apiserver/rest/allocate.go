package rest

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/resource"
	"proa/store"
)

// allocate lets the allocator of the resource, if it has one, complete obj.
// What it returns must be called once with how the attempt to store obj ended.
func (a *API) allocate(ctx context.Context, d *resource.Definition, obj, old resource.Object, dryRun bool) (settle func(err error), err error) {
	al := a.Allocators[d.GroupResource()]
	if al == nil {
		return func(error) {}, nil
	}
	done, err := al.Allocate(ctx, obj, old, dryRun)
	if err != nil {
		return nil, err
	}
	return func(err error) {
		if !uncertain(err) {
			done(ctx, err == nil)
		}
	}, nil
}

// uncertain reports whether a write may have happened though it failed. Nothing
// is given back then: better held by nobody than by two.
func uncertain(err error) bool {
	return errors.Is(err, store.ErrUncertain) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

// release gives back what an object held that has gone from the store.
func (a *API) release(ctx context.Context, d *resource.Definition, obj resource.Object) {
	if al := a.Allocators[d.GroupResource()]; al != nil {
		al.Release(ctx, obj)
	}
}
