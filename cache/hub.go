package cache

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"proa/cache/intern"
	"proa/resource"
	"proa/store"
)

// root is the prefix of all keys of all resources.
const root = "/registry/"

// Hub watches the store and feeds the caches of all resources. Make it with
// NewHub, and run it with Run; reads wait until it runs.
type Hub struct {
	store     store.Store
	codec     Codec
	opts      Options
	latest    *latest
	progress  progress
	watch     atomic.Pointer[store.Watch]
	encodings encodingBudget
	offers    offers
	guard     guard
	pool      *intern.Pool  // nil: nothing is shared
	pastReads chan struct{} // bounds reads of old revisions from the store

	mu     sync.Mutex
	caches map[*resource.Definition]*Cache
	// byRoot is replaced, never changed, so that dispatching takes no lock.
	byRoot atomic.Pointer[map[string]*Cache]

	wanted   []*Cache      // to be loaded
	hasWants chan struct{} // holds a token while wanted is not empty
	running  chan struct{} // closed when the watch was opened first
	// unbroken is the revision since which no event was lost.
	unbroken atomic.Int64
	// generation is how often Reread was called.
	generation atomic.Int64
}

// NewHub makes a hub over a store.
func NewHub(s store.Store, codec Codec, o Options) *Hub {
	h := &Hub{
		store:     s,
		codec:     codec,
		opts:      o.complete(),
		latest:    newLatest(s),
		pastReads: make(chan struct{}, 2),
		caches:    map[*resource.Definition]*Cache{},
		hasWants:  make(chan struct{}, 1),
		running:   make(chan struct{}),
	}
	h.encodings.limit = h.opts.EncodingBytes
	h.guard.limit = h.opts.Guard
	h.offers.init()
	if h.opts.InternParts > 0 {
		h.pool = intern.New(h.opts.InternParts)
	}
	h.byRoot.Store(&map[string]*Cache{})
	return h
}

// Store is the store under the hub.
func (h *Hub) Store() store.Store { return h.store }

// Cache returns the cache of a stored resource, which is loaded when it is
// first read. A definition with the same root takes the place of an older one,
// whose cache is dropped. One that is retired gets the cache of its successor, or
// where there is none one that has gone.
func (h *Hub) Cache(def *resource.Definition) *Cache {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.caches[def]; c != nil {
		return c
	}
	c := newCache(h, def)
	if def.Dynamic != nil && def.Dynamic.Retired.Load() {
		if now := (*h.byRoot.Load())[c.root]; now != nil {
			return now
		}
		c.drop()
		return c
	}
	if old := (*h.byRoot.Load())[c.root]; old != nil {
		delete(h.caches, old.Definition)
		old.drop()
	}
	h.caches[def] = c
	h.publishRoots()
	return c
}

// Drop forgets a resource that is no longer served. Its watches end with
// ErrGone.
func (h *Hub) Drop(def *resource.Definition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.caches[def]; c != nil {
		delete(h.caches, def)
		h.publishRoots()
		c.drop()
	}
}

// Warm begins to load the caches of definitions, and Wait waits for them.
func (h *Hub) Warm(defs ...*resource.Definition) {
	for _, def := range defs {
		if !def.Virtual {
			h.want(h.Cache(def))
		}
	}
}

func (h *Hub) publishRoots() {
	m := make(map[string]*Cache, len(h.caches))
	for _, c := range h.caches {
		m[c.root] = c
	}
	h.byRoot.Store(&m)
}

// lookup finds the cache of a key: roots have one or two segments below
// /registry/.
func (h *Hub) lookup(key string) *Cache {
	m := *h.byRoot.Load()
	i := strings.IndexByte(key[len(root):], '/')
	if i < 0 {
		return nil
	}
	i += len(root) + 1
	if c := m[key[:i]]; c != nil {
		return c
	}
	j := strings.IndexByte(key[i:], '/')
	if j < 0 {
		return nil
	}
	return m[key[:i+j+1]]
}

// Waits between attempts to reach the store.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Run feeds the caches until ctx ends, and returns its error.
func (h *Hub) Run(ctx context.Context) error {
	var loads sync.WaitGroup
	defer loads.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	loads.Go(func() { h.load(ctx) })
	wait := firstRetry
	for {
		began := h.opts.Now()
		err := h.follow(ctx)
		if ctx.Err() != nil {
			if guarded > 0 {
				h.report()
			}
			return ctx.Err()
		}
		if h.opts.Now().Sub(began) > lastRetry {
			wait = firstRetry
		}
		h.opts.Log.Warn("watch of the store ended; watching again", "revision", h.Revision(), "retry", wait, "err", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, lastRetry)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow opens a watch where the last one ended, and dispatches it until it
// ends.
func (h *Hub) follow(ctx context.Context) error {
	rev, err := h.store.Revision(ctx)
	if err != nil {
		return err
	}
	from := h.Revision()
	switch {
	case from == 0:
		from = h.remember(rev)
	case rev < from:
		h.opts.Log.Error("the store went back in time (was it restored from a backup?); all watches are ended",
			"was", from, "is", rev)
		h.restart(rev)
		from = rev
	}
	w, err := h.store.Watch(ctx, root, from)
	if err != nil {
		return h.resyncIfCompacted(ctx, err)
	}
	defer w.Stop()
	h.watch.Store(&w)
	defer h.watch.Store(nil)
	h.progress.publish(from)
	select {
	case <-h.running:
	default:
		close(h.running)
	}
	for {
		b, err := w.Next(ctx)
		if err != nil {
			return h.resyncIfCompacted(ctx, err)
		}
		h.dispatch(b)
	}
}

// history is how many revisions before its start a hub asks for. Watches that
// another process served until a moment ago then resume here, and need not
// list everything at once.
const history = 1000

// remember returns from where to watch at the start, and lets the caches that
// were asked for by then load as of there.
func (h *Hub) remember(rev int64) int64 {
	from := max(rev-history, 1)
	h.unbroken.Store(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.wanted {
		c.base = from
	}
	return from
}

// resyncIfCompacted lists everything anew where the watch cannot go on.
func (h *Hub) resyncIfCompacted(ctx context.Context, err error) error {
	if !errors.Is(err, store.ErrCompacted) {
		return err
	}
	h.opts.Log.Warn("the store has forgotten revisions that were not yet seen; listing anew", "revision", h.Revision())
	if err := h.resync(ctx); err != nil {
		return err
	}
	return err
}

// dispatch hands the events of a batch to the caches, and publishes its
// revision.
func (h *Hub) dispatch(b store.Batch) {
	for evs := b.Events; len(evs) > 0; {
		// Neighbours of the same resource are applied together. Order holds
		// within a resource, and readers of several compare no revisions
		// before the hub's has been published.
		c := h.lookup(evs[0].KV.Key)
		n := 1
		for n < len(evs) && (c != nil && strings.HasPrefix(evs[n].KV.Key, c.root)) {
			n++
		}
		if c != nil {
			c.take(evs[:n])
		}
		evs = evs[n:]
	}
	h.offers.passed(b.Revision)
	h.progress.publish(b.Revision)
}

// take applies events of the store, or keeps them while the cache is loading.
func (c *Cache) take(evs []store.Event) {
	if !c.isLive.Load() {
		c.mu.Lock()
		if !c.isLive.Load() {
			if c.wanted {
				c.pending = append(c.pending, evs...)
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
	c.apply(c.changes(evs))
}

// changes decodes events.
func (c *Cache) changes(evs []store.Event) []change {
	changes := make([]change, len(evs))
	for i, ev := range evs {
		changes[i] = change{rev: ev.KV.ModRevision, key: ev.KV.Key}
		if !ev.Deleted {
			changes[i].entry = c.decode(ev.KV)
		}
	}
	return changes
}
