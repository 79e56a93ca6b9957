package cache

import (
	"bytes"
	"slices"
	"sync"
)

// Mutated returns the keys of objects that are no longer what was stored: some
// reader has changed a shared object in place. Of objects that were replaced or
// removed it knows those that the guard keeps (see [Options]). It encodes
// everything, and is meant for the end of tests.
func (h *Hub) Mutated() []string {
	keys := h.guard.check()
	for _, c := range *h.byRoot.Load() {
		if !c.isLive.Load() {
			continue
		}
		s, _ := c.present()
		s.keys.Ascend(func(e *Entry) bool {
			if e.mutated() {
				keys = append(keys, e.Key)
			}
			return true
		})
	}
	return keys
}

// report logs what Mutated finds, at the end of a program.
func (h *Hub) report() {
	if bad := h.Mutated(); len(bad) > 0 {
		h.opts.Log.Error("objects of the cache were changed in place", "keys", bad)
	}
}

// mutated reports whether the object is no longer what was stored.
func (e *Entry) mutated() bool {
	if e.Object == nil {
		return false
	}
	def, codec := e.cache.Definition, e.cache.hub.codec
	b, err := codec.Encode(def, e.Object)
	if err != nil || e.Object.GetResourceVersion() != formatRevision(e.Revision) {
		return true
	}
	if bytes.Equal(b, e.stored) {
		return false
	}
	// What was stored may read as more: reading fills in defaults.
	read, err := codec.Decode(def, e.stored)
	if err != nil {
		return true
	}
	whole, err := codec.Encode(def, read)
	return err != nil || !bytes.Equal(b, whole)
}

// guard keeps the entries that the caches let go of for a while, since those who
// read them may still have them in hand, and checks each before it lets go of it
// in turn.
type guard struct {
	mu    sync.Mutex
	limit int // 0: nothing is kept
	ring  []*Entry
	next  int
	bad   []string // found so far
}

// keep is told of every entry that was replaced or removed.
func (g *guard) keep(e *Entry) {
	if g.limit == 0 || e == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ring) < g.limit {
		g.ring = append(g.ring, e)
		return
	}
	if last := g.ring[g.next]; last.mutated() {
		g.bad = append(g.bad, last.Key)
	}
	g.ring[g.next] = e
	g.next = (g.next + 1) % g.limit
}

// check returns the keys of all that has been found and of what is kept.
func (g *guard) check() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	bad := slices.Clone(g.bad)
	for _, e := range g.ring {
		if e.mutated() {
			bad = append(bad, e.Key)
		}
	}
	return bad
}
