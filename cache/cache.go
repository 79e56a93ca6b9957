package cache

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"proa/resource"
	"proa/store"
)

// Cache holds the objects of one resource. All methods are safe for concurrent
// use.
type Cache struct {
	Definition *resource.Definition

	hub         *Hub
	root        string
	transformer Transformer
	envelope    []byte // see the function

	// live is closed when the cache has been loaded, gone when the resource is
	// no longer served.
	live   chan struct{}
	isLive atomic.Bool
	gone   chan struct{}

	mu      sync.RWMutex
	wanted  bool          // loading was asked for
	base    int64         // revision to load at, 0 for the present
	dropped bool          // gone is closed
	pending []store.Event // what came while loading
	objects tree
	// last is the revision of the last event, or of the list that was loaded.
	last    int64
	loaded  atomic.Int64 // revision of the last load
	corrupt int          // number of corrupt entries
	log     eventLog
	pins    []*pin
	topics  map[trigger]*topic

	// snap is a copy-on-write copy of objects, nil if they have changed since.
	snap atomic.Pointer[snapshot]
}

func newCache(h *Hub, def *resource.Definition) *Cache {
	return &Cache{
		Definition:  def,
		hub:         h,
		root:        def.Root(),
		envelope:    envelope(def),
		transformer: h.opts.Transformer(def),
		live:        make(chan struct{}),
		gone:        make(chan struct{}),
		objects:     newTree(def),
		topics:      map[trigger]*topic{},
	}
}

// tree is the objects in order of their keys, and for each indexed field in
// order of its values.
type tree struct {
	keys    *btree.BTreeG[*Entry]
	indexes []*btree.BTreeG[*Entry]
}

const treeDegree = 32

func newTree(def *resource.Definition) tree {
	t := tree{keys: btree.NewG(treeDegree, func(a, b *Entry) bool { return a.Key < b.Key })}
	for i := range def.Indexed {
		t.indexes = append(t.indexes, btree.NewG(treeDegree, func(a, b *Entry) bool {
			if c := strings.Compare(indexValue(a, i), indexValue(b, i)); c != 0 {
				return c < 0
			}
			return a.Key < b.Key
		}))
	}
	return t
}

// indexValue of an entry; corrupt entries have none.
func indexValue(e *Entry, i int) string {
	if i >= len(e.index) {
		return ""
	}
	return e.index[i]
}

func (t tree) get(key string) *Entry {
	e, _ := t.keys.Get(&Entry{Key: key})
	return e
}

// put replaces prev (the present entry of the key, nil if there is none).
func (t tree) put(e, prev *Entry) {
	t.keys.ReplaceOrInsert(e)
	for i, index := range t.indexes {
		if prev != nil && indexValue(prev, i) != indexValue(e, i) {
			index.Delete(prev)
		}
		index.ReplaceOrInsert(e)
	}
}

func (t tree) remove(e *Entry) {
	t.keys.Delete(e)
	for _, index := range t.indexes {
		index.Delete(e)
	}
}

// clone returns a copy in constant time. From then on both copy what they
// change. It must not run beside other uses of t.
func (t tree) clone() tree {
	c := tree{keys: t.keys.Clone()}
	for _, index := range t.indexes {
		c.indexes = append(c.indexes, index.Clone())
	}
	return c
}

// change is an event of the store whose object has been decoded. Entry is nil
// for a removal.
type change struct {
	rev   int64
	key   string
	entry *Entry
}

// apply makes changes visible, in order, and wakes those who watch.
func (c *Cache) apply(changes []change) {
	c.mu.Lock()
	var woken []*topic
	for _, ch := range changes {
		if ch.rev <= c.last {
			continue // the load has seen it
		}
		woken = c.applyOne(ch, woken)
	}
	c.trimLog()
	for _, t := range woken {
		t.woken = false
	}
	again := c.isLive.Load() && slices.ContainsFunc(changes, func(ch change) bool { return c.unread(ch.entry) })
	c.mu.Unlock()
	for _, t := range woken {
		t.wakeAll()
	}
	if again {
		c.reread()
	}
}

func (c *Cache) applyOne(ch change, woken []*topic) []*topic {
	c.last = ch.rev
	prev := c.objects.get(ch.key)
	switch {
	case ch.entry == nil && prev == nil:
		return woken
	case ch.entry == nil:
		c.objects.remove(prev)
	default:
		if ch.entry.Err != nil {
			ch.entry.good = prev.visible()
			c.corrupt++
		}
		c.objects.put(ch.entry, prev)
	}
	c.hub.guard.keep(prev)
	if prev != nil && prev.Err != nil {
		c.corrupt--
	}
	c.snap.Store(nil)
	ev := &event{rev: ch.rev, prev: prev, cur: ch.entry}
	c.log.add(ev, c.hub.opts.Now())
	if ch.entry != nil && ch.entry.Err != nil {
		return woken // watches do not see it
	}
	return c.deliver(ev, woken)
}

// deliver links the event into the topics that it concerns.
func (c *Cache) deliver(ev *event, woken []*topic) []*topic {
	if len(c.topics) == 0 {
		return woken
	}
	link := func(t trigger) {
		if topic := c.topics[t]; topic != nil {
			if !topic.woken {
				topic.woken = true
				woken = append(woken, topic)
			}
			topic.link(ev, &c.hub.opts)
		}
	}
	prev, cur := ev.prev.visible(), ev.cur
	any := cur
	if any == nil {
		any = prev
	}
	if any == nil {
		return woken
	}
	link(trigger{})
	link(trigger{kind: byNamespace, a: any.Namespace})
	link(trigger{kind: byName, a: any.Namespace, b: any.Name})
	for i, name := range c.Definition.Indexed {
		if cur != nil {
			link(trigger{byIndex, name, indexValue(cur, i)})
		}
		if prev != nil && (cur == nil || indexValue(prev, i) != indexValue(cur, i)) {
			link(trigger{byIndex, name, indexValue(prev, i)})
		}
	}
	return woken
}

// revision up to which the cache is complete. Read it before what it is to
// describe.
func (c *Cache) revision() int64 { return max(c.hub.Revision(), c.loaded.Load()) }

// Revision up to which the cache has seen everything.
func (c *Cache) Revision() int64 { return c.revision() }

// Version tells whether any object has changed: it is another number then. It
// costs next to nothing as long as none has.
func (c *Cache) Version() int64 {
	s, _ := c.present()
	return s.rev
}

// Wait returns when the cache has been loaded, asking for that where nobody
// has before.
func (c *Cache) Wait(ctx context.Context) error {
	if c.isLive.Load() {
		return nil
	}
	c.hub.want(c)
	select {
	case <-c.live:
		return nil
	case <-c.gone:
		return ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready reports whether the cache has been loaded.
func (c *Cache) Ready() bool { return c.isLive.Load() }

// Len is the number of objects at present.
func (c *Cache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.objects.keys.Len()
}

// drop ends everything that reads the cache.
func (c *Cache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dropped {
		c.dropped = true
		close(c.gone)
	}
	for _, t := range c.topics {
		t.wakeAll()
	}
}
