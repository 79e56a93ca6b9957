package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"proa/store"
)

// snapshot is the objects as of a revision. It is immutable and read without
// locks.
type snapshot struct {
	tree
	rev     int64
	corrupt bool // some entry has an error
}

// pin is a snapshot of the past that is kept for the next page of a list.
type pin struct {
	*snapshot
	used time.Time
}

const (
	maxPins = 8
	pinAge  = 5 * time.Minute
)

// present returns the objects as they are, and the revision up to which they
// are complete.
func (c *Cache) present() (*snapshot, int64) {
	rev := c.revision()
	s := c.snap.Load()
	if s == nil {
		c.mu.Lock()
		s = c.presentLocked()
		c.mu.Unlock()
	}
	return s, max(rev, s.rev)
}

func (c *Cache) presentLocked() *snapshot {
	s := c.snap.Load()
	if s == nil {
		s = &snapshot{tree: c.objects.clone(), rev: c.last, corrupt: c.corrupt > 0}
		c.snap.Store(s)
	}
	return s
}

// past returns the objects as they were at rev, which the cache must have
// reached: from the present or a pinned snapshot by undoing what came after,
// or else from the store.
func (c *Cache) past(ctx context.Context, rev int64) (*snapshot, error) {
	if s := c.recall(rev); s != nil {
		return s, nil
	}
	return c.readPast(ctx, rev)
}

// recall returns the objects at rev from memory, or nil. What the store has
// compacted is not recalled: a page token expires for all servers alike, and
// not only where something has changed since.
func (c *Cache) recall(rev int64) *snapshot {
	if rev < c.hub.store.Compacted() {
		return nil
	}
	c.mu.Lock()
	if rev >= c.last {
		defer c.mu.Unlock()
		return c.presentLocked()
	}
	c.expirePins()
	var from *pin
	for _, p := range c.pins {
		if p.rev == rev {
			p.used = c.hub.opts.Now()
			defer c.mu.Unlock()
			return p.snapshot
		}
		if p.rev > rev && (from == nil || p.rev < from.rev) {
			from = p
		}
	}
	if rev < c.log.exact {
		c.mu.Unlock()
		return nil
	}
	undo := c.log.after(rev)
	s := &snapshot{rev: rev, corrupt: true}
	if from != nil && from.rev >= c.log.exact {
		s.tree = from.clone()
		undo = undo[:len(undo)-len(c.log.after(from.rev))]
	} else {
		s.tree = c.objects.clone()
	}
	c.mu.Unlock()
	for _, ev := range slices.Backward(undo) {
		if ev.prev == nil {
			s.remove(ev.cur)
		} else {
			s.put(ev.prev, ev.cur)
		}
	}
	c.pin(s)
	return s
}

// readPast lists the store at a revision that the log does not reach any more.
// Objects that have not changed since are those of the present.
func (c *Cache) readPast(ctx context.Context, rev int64) (*snapshot, error) {
	select {
	case c.hub.pastReads <- struct{}{}:
		defer func() { <-c.hub.pastReads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s := c.recall(rev); s != nil {
		return s, nil // another reader was faster
	}
	now, _ := c.present()
	s := &snapshot{tree: newTree(c.Definition), rev: rev, corrupt: true}
	_, err := c.readStore(ctx, rev, func(kvs []store.KV) {
		for _, kv := range kvs {
			e := now.get(kv.Key)
			if e == nil || e.Revision != kv.ModRevision {
				e = c.decode(kv)
			}
			s.put(e, nil)
		}
	})
	switch {
	case errors.Is(err, store.ErrCompacted):
		c.mu.RLock()
		defer c.mu.RUnlock()
		return nil, &ExpiredError{Requested: rev, Oldest: c.log.exact}
	case err != nil:
		return nil, err
	}
	c.pin(s)
	return s, nil
}

// pin keeps a snapshot for a while.
func (c *Cache) pin(s *snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pins {
		if p.rev == s.rev {
			return
		}
	}
	c.expirePins()
	if len(c.pins) >= maxPins {
		oldest := 0
		for i, p := range c.pins {
			if p.used.Before(c.pins[oldest].used) {
				oldest = i
			}
		}
		c.pins = slices.Delete(c.pins, oldest, oldest+1)
	}
	c.pins = append(c.pins, &pin{snapshot: s, used: c.hub.opts.Now()})
}

func (c *Cache) expirePins() {
	now := c.hub.opts.Now()
	c.pins = slices.DeleteFunc(c.pins, func(p *pin) bool { return now.Sub(p.used) > pinAge })
}

// pinAs keeps the present snapshot under the revision of a first page.
func (c *Cache) pinAs(s *snapshot, rev int64) {
	c.pin(&snapshot{tree: s.tree, rev: rev, corrupt: s.corrupt})
}
