// Package derived keeps what plugins make of configuration: of each object of a
// kind, once, and anew when it has changed.
//
// There is no copy that could be late: whoever asks gets what follows from the
// objects that the watch cache has at that moment.
package derived

import (
	"context"
	"sync"
	"sync/atomic"

	"proa/cache"
	"proa/resource"
)

// Of is what is derived from the objects of a kind. Safe for concurrent use.
type Of[T resource.Object, D any] struct {
	cache  *cache.Cache // nil where the kind is not served
	derive func(T) D

	mu    sync.Mutex // serialises deriving
	state atomic.Pointer[state[T, D]]
}

type state[T resource.Object, D any] struct {
	version int64
	known   map[resource.Object]D // by the identity of the object
	all     []D
}

// New derives from the objects of a definition, which is nil where the kind is
// not served. Derive must not change the object.
func New[T resource.Object, D any](hub *cache.Hub, def *resource.Definition, derive func(T) D) *Of[T, D] {
	o := &Of[T, D]{derive: derive}
	if def != nil {
		o.cache = hub.Cache(def)
	}
	return o
}

// None reports, at no cost to speak of, that there are no objects for sure.
func (o *Of[T, D]) None() bool {
	if o.cache == nil {
		return true
	}
	s := o.state.Load()
	return s != nil && len(s.all) == 0 && o.cache.Ready() && o.cache.Version() == s.version
}

// All is what follows from the objects, in the order of their names. Version
// differs when it does.
func (o *Of[T, D]) All(ctx context.Context) (all []D, version int64, err error) {
	if o.cache == nil {
		return nil, 0, nil
	}
	if err := o.cache.Wait(ctx); err != nil {
		return nil, 0, err
	}
	if s := o.state.Load(); s != nil && o.cache.Version() == s.version {
		return s.all, s.version, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.state.Load()
	// Before the list: what changes in between is found by the next who asks.
	now := o.cache.Version()
	if was != nil && was.version == now {
		return was.all, was.version, nil
	}
	list, err := o.cache.List(ctx, cache.ListRequest{Predicate: cache.NewPredicate(o.cache.Definition, nil, "", nil, nil), Match: cache.Any})
	if err != nil {
		if s := cache.Status(o.cache.Definition, "", err); s != nil {
			return nil, 0, s
		}
		return nil, 0, err
	}
	s := &state[T, D]{version: now, known: make(map[resource.Object]D, len(list.Entries))}
	for _, e := range list.Entries {
		var d D
		ok := false
		if was != nil {
			d, ok = was.known[e.Object]
		}
		if !ok {
			d = o.derive(e.Object.(T))
		}
		s.known[e.Object] = d
		s.all = append(s.all, d)
	}
	o.state.Store(s)
	return s.all, s.version, nil
}
