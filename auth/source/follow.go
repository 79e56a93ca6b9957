package source

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/watch"

	"proa/cache"
	"proa/resource"
)

// Index is what [Follow] feeds. Its methods are called from one goroutine per
// kind.
type Index interface {
	// Set adds or replaces an object.
	Set(obj any)
	// Delete removes an object, given as it last was.
	Delete(obj any)
}

// Follow feeds the index all objects of a definition, and then every change,
// until ctx ends or the resource is no longer served. ready is called once,
// when everything that was there at the beginning has been fed. A watch that
// is cut is begun again, and what changed meanwhile is made good.
func Follow(ctx context.Context, hub *cache.Hub, def *resource.Definition, x Index, ready func()) error {
	f := follower{cache: hub.Cache(def), index: x, known: map[string]resource.Object{}, ready: ready}
	for {
		err := f.watch(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var expired *cache.ExpiredError
		if !errors.Is(err, cache.ErrSlow) && !errors.As(err, &expired) {
			return err
		}
	}
}

type follower struct {
	cache *cache.Cache
	index Index
	known map[string]resource.Object // by key, as last fed
	ready func()
}

func (f *follower) watch(ctx context.Context) error {
	w, err := f.cache.Watch(ctx, cache.WatchRequest{From: cache.Latest, InitialEventsEnd: true})
	if err != nil {
		return err
	}
	defer w.Stop()
	seen := map[string]bool{}
	for {
		events, err := w.Next(ctx)
		if err != nil {
			return err
		}
		for _, e := range events {
			switch {
			case e.Type == watch.Bookmark:
				if e.InitialEventsEnd {
					f.forgetOthers(seen)
					seen = nil
					if f.ready != nil {
						f.ready()
						f.ready = nil
					}
				}
			case e.Type == watch.Deleted:
				delete(f.known, e.Entry.Key)
				f.index.Delete(e.Entry.Object)
			default:
				if seen != nil {
					seen[e.Entry.Key] = true
				}
				f.known[e.Entry.Key] = e.Entry.Object
				f.index.Set(e.Entry.Object)
			}
		}
	}
}

// forgetOthers removes what went away while nobody watched.
func (f *follower) forgetOthers(seen map[string]bool) {
	for key, obj := range f.known {
		if !seen[key] {
			delete(f.known, key)
			f.index.Delete(obj)
		}
	}
}
