package cache

import (
	"context"

	"proa/store"
)

// Reread looks again at the values that could not be read, after the transformers
// have got other keys. Watches of a resource in which one can be read now end with
// an [ExpiredError], so that their readers list it again: they have never seen that
// object, or only as it was before.
func (h *Hub) Reread() {
	// First of all, so that values which are being read with the keys from before
	// are found either here or by those who read them.
	h.generation.Add(1)
	for _, c := range *h.byRoot.Load() {
		c.reread()
	}
}

// reread puts what can be read now in the place of corrupt entries. A cache that is
// loading looks at the generation itself; see [Cache.fill].
func (c *Cache) reread() {
	fresh := map[*Entry]*Entry{}
	for _, e := range c.corrupted() {
		if _, _, err := c.transformer.FromStore(context.Background(), e.Key, e.stored); err != nil {
			continue
		}
		now := c.decode(store.KV{Key: e.Key, Value: e.stored, ModRevision: e.Revision, CreateRevision: e.CreateRevision})
		if now.Err == nil {
			fresh[e] = now
		}
	}
	for _, w := range c.repair(fresh) {
		w.expire()
	}
}

// corrupted returns the entries of a live cache whose values may be encrypted with
// a key that was not known.
func (c *Cache) corrupted() []*Entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.transformer == nil || !c.isLive.Load() || c.corrupt == 0 {
		return nil
	}
	var list []*Entry
	c.objects.keys.Ascend(func(e *Entry) bool {
		if e.Err != nil {
			list = append(list, e)
		}
		return true
	})
	return list
}

// repair exchanges entries, and returns the watches that must end for it.
func (c *Cache) repair(fresh map[*Entry]*Entry) []*Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for was, now := range fresh {
		if c.objects.get(was.Key) == was {
			c.objects.put(now, was)
			c.corrupt--
			n++
		}
	}
	if n == 0 {
		return nil
	}
	c.snap.Store(nil)
	// The log knows the past without those objects.
	c.log.restart(max(c.revision(), c.last))
	var cut []*Watch
	for _, t := range c.topics {
		for w := range t.watches {
			cut = append(cut, w)
		}
	}
	return cut
}

// expire ends a watch whose reader must list again.
func (w *Watch) expire() {
	w.mu.Lock()
	w.cut(&ExpiredError{Requested: w.after, Oldest: w.cache.revision()})
	w.mu.Unlock()
	w.topic.wakeAll()
}

// outdated reports whether a value could not be read with keys that are no longer
// those of the transformers. c is locked.
func (c *Cache) outdated() bool {
	if c.transformer == nil || c.corrupt == 0 {
		return false
	}
	found := false
	c.objects.keys.Ascend(func(e *Entry) bool {
		found = c.unread(e)
		return !found
	})
	return found
}

// unread reports whether an entry could not be read, but perhaps can be by now.
func (c *Cache) unread(e *Entry) bool {
	return e != nil && e.Err != nil && c.transformer != nil && e.generation != c.hub.generation.Load()
}
