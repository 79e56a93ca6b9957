package cache

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"proa/store"
)

// pageSize is the number of keys read from the store at once.
const pageSize = 1000

// want asks for a cache to be loaded.
func (h *Hub) want(c *Cache) {
	c.mu.Lock()
	first := !c.wanted
	// From now on events are kept; those before are in the list to come.
	c.wanted = true
	c.mu.Unlock()
	if !first {
		return
	}
	h.mu.Lock()
	h.wanted = append(h.wanted, c)
	h.mu.Unlock()
	select {
	case h.hasWants <- struct{}{}:
	default:
	}
}

// load loads wanted caches, a few at a time, until ctx ends.
func (h *Hub) load(ctx context.Context) {
	select {
	case <-h.running:
	case <-ctx.Done():
		return
	}
	var loads sync.WaitGroup
	defer loads.Wait()
	slots := make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	for {
		select {
		case <-h.hasWants:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		wanted := h.wanted
		h.wanted = nil
		h.mu.Unlock()
		for _, c := range wanted {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			loads.Go(func() {
				defer func() { <-slots }()
				c.load(ctx)
			})
		}
	}
}

// load fills the cache from the store, trying until ctx ends, and then applies
// what came meanwhile.
func (c *Cache) load(ctx context.Context) {
	log := c.hub.opts.Log.With("resource", c.Definition.GroupResource().String())
	base := c.base
	for wait := firstRetry; ; {
		entries, rev, err := c.readAll(ctx, base, nil)
		if err == nil && c.fill(entries, rev) {
			log.Debug("cache loaded", "objects", len(entries), "revision", rev)
			return
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil, base > 0 && errors.Is(err, store.ErrCompacted):
			base = 0 // at present, at once
			continue
		}
		log.Warn("cache cannot be loaded; trying again", "retry", wait, "err", err)
		if sleep(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, lastRetry)
	}
}

// fill makes the cache live with the entries as of rev. It returns false where
// events after rev may have been lost meanwhile, or keys are there by which more
// of the entries can be read, so that they are of no use.
func (c *Cache) fill(entries []*Entry, rev int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects, c.corrupt = newTree(c.Definition), 0
	for _, e := range entries {
		c.objects.put(e, nil)
		if e.Err != nil {
			c.corrupt++
		}
	}
	c.last = rev
	c.log.restart(rev)
	for len(c.pending) > 0 {
		// Decoding is slow; the lock is given back for it. Events go on to
		// pending until none is left.
		pending := c.pending
		c.pending = nil
		c.mu.Unlock()
		c.apply(c.changes(pending))
		c.mu.Lock()
	}
	if rev < c.hub.unbroken.Load() || c.outdated() {
		return false
	}
	c.loaded.Store(rev)
	c.isLive.Store(true)
	close(c.live)
	return true
}

// readAll lists and decodes all objects of the resource as of rev, or at
// present where it is 0. Entries that known has at the same revision are used
// again.
func (c *Cache) readAll(ctx context.Context, rev int64, known func(key string) *Entry) ([]*Entry, int64, error) {
	var entries []*Entry
	rev, err := c.readStore(ctx, rev, func(kvs []store.KV) {
		page := make([]*Entry, len(kvs))
		parallel(len(kvs), func(i int) {
			if known != nil {
				if e := known(kvs[i].Key); e != nil && e.Revision == kvs[i].ModRevision {
					page[i] = e
					return
				}
			}
			page[i] = c.decode(kvs[i])
		})
		entries = append(entries, page...)
	})
	return entries, rev, err
}

// readStore lists the resource page by page, as of rev, or at present where it
// is 0, and returns the revision.
func (c *Cache) readStore(ctx context.Context, rev int64, page func([]store.KV)) (int64, error) {
	o := store.ListOptions{Revision: rev, Limit: pageSize}
	for {
		r, err := c.hub.store.List(ctx, c.root, o)
		if err != nil {
			return 0, err
		}
		o.Revision = r.Revision
		page(r.KVs)
		if len(r.KVs) == 0 || r.Count <= int64(len(r.KVs)) {
			return r.Revision, nil
		}
		o.After = r.KVs[len(r.KVs)-1].Key
	}
}

// parallel calls f for 0 to n-1 on all processors.
func parallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/64)
	if workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// resync brings all live caches to the present of the store by the difference.
// It runs in place of the watch, so nothing comes in between.
func (h *Hub) resync(ctx context.Context) error {
	// Revisions after this one are watched again.
	rev, err := h.store.Revision(ctx)
	if err != nil {
		return err
	}
	h.unbroken.Store(rev)
	for _, c := range *h.byRoot.Load() {
		c.mu.RLock() // not in the midst of becoming live
		live := c.isLive.Load()
		c.mu.RUnlock()
		if !live {
			continue // its list is still to come, or comes again
		}
		entries, at, err := c.readAll(ctx, 0, func(key string) *Entry {
			c.mu.RLock()
			defer c.mu.RUnlock()
			return c.objects.get(key)
		})
		if err != nil {
			return err
		}
		c.bridge(entries, at)
	}
	h.progress.publish(rev)
	return nil
}

// bridge applies the difference to the listed entries of revision rev.
func (c *Cache) bridge(entries []*Entry, rev int64) {
	from := c.revision()
	c.mu.RLock()
	changes := difference(c.objects, entries, from, rev)
	c.mu.RUnlock()
	c.apply(changes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, rev)
	c.loaded.Store(max(c.loaded.Load(), rev))
	if c.log.gapFrom == 0 || c.log.floor >= c.log.gapTo {
		c.log.gapFrom = from
	}
	c.log.gapTo = rev
	c.log.exact = rev
	c.snap.Store(nil)
}

// difference returns the changes that lead from the old objects, as of from,
// to the entries listed at rev, in order of revision, no two at the same.
//
// When a removal happened is not known. It is given a revision of its own,
// after from, at which none of the listed entries was written, and before that
// of the same key's creation where it was made anew. There always is one:
// every removal had its own.
func difference(old tree, entries []*Entry, from, rev int64) []change {
	var changes []change
	taken := map[int64]bool{}
	present := make(map[string]bool, len(entries))
	type removal struct {
		key    string
		before int64
	}
	var removals []removal
	for _, e := range entries {
		present[e.Key] = true
		if e.Revision > from {
			taken[e.Revision] = true
		}
		prev := old.get(e.Key)
		if prev != nil && prev.Revision == e.Revision {
			continue
		}
		changes = append(changes, change{rev: e.Revision, key: e.Key, entry: e})
		if prev != nil && e.CreateRevision > prev.CreateRevision && prev.CreateRevision != 0 {
			removals = append(removals, removal{e.Key, e.CreateRevision})
		}
	}
	old.keys.Ascend(func(e *Entry) bool {
		if !present[e.Key] {
			removals = append(removals, removal{e.Key, rev + 1})
		}
		return true
	})
	slices.SortStableFunc(removals, func(a, b removal) int { return cmp.Compare(b.before, a.before) })
	free := rev
	for _, r := range removals {
		free = min(free, r.before-1)
		for taken[free] {
			free--
		}
		changes = append(changes, change{rev: free, key: r.key})
		free--
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.rev, b.rev) })
	return changes
}

// restart empties all live caches and loads them again, for a store whose
// history is not the one that was followed.
func (h *Hub) restart(rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for def, c := range h.caches {
		fresh := newCache(h, def)
		h.caches[def] = fresh
		c.drop()
	}
	h.publishRoots()
	h.progress.reset(rev)
}
