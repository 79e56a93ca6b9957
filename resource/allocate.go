package resource

import "context"

// Allocator gives an object what it needs from state outside of it, such as
// the cluster IPs and node ports of a service. The API server is given one for
// each resource that needs it, and calls it between the row's Prepare hook and
// its validation:
//
//	PrepareCreate → Allocate → Validate → store → settle
//
// What is allocated is held exclusively among all servers from then on. Safe
// for concurrent use.
type Allocator interface {
	// Allocate completes obj, which is to replace old (nil at creation; it must
	// not be changed). In a dry run nothing is held. Errors are those to answer
	// the client with.
	//
	// settle must be called once if there was no error: with true when obj has
	// been stored, which gives back what only old had, or with false when it
	// has not, which gives back what was taken for obj. Where nobody knows, it
	// is not called, and what may be left over has to be found later.
	Allocate(ctx context.Context, obj, old Object, dryRun bool) (settle func(ctx context.Context, stored bool), err error)
	// Release gives back all that an object held, after it is gone from the
	// store.
	Release(ctx context.Context, obj Object)
}
