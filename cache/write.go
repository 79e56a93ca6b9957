package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
	"proa/store"
)

// Create stores a new object. Where the key exists, the present entry is
// returned with store.ErrExists. obj must not be changed afterwards, other
// than in its own top-level struct: the cache shares what it refers to.
func (c *Cache) Create(ctx context.Context, obj resource.Object, ttl time.Duration) (*Entry, error) {
	plain, err := c.hub.codec.Encode(c.Definition, obj)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Definition.GroupResource(), err)
	}
	return c.write(ctx, obj, plain, func(key string, value []byte) (store.KV, error) {
		return c.hub.store.Create(ctx, key, value, ttl)
	})
}

// Update replaces the object if its revision in the store is still that of
// old. Where it is not, the present entry is returned with store.ErrConflict,
// or store.ErrNotFound. obj is shared as with Create.
func (c *Cache) Update(ctx context.Context, old *Entry, obj resource.Object, ttl time.Duration) (*Entry, error) {
	plain, err := c.hub.codec.Encode(c.Definition, obj)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Definition.GroupResource(), err)
	}
	return c.UpdateEncoded(ctx, old, obj, plain, ttl)
}

// UpdateEncoded is Update for a caller that has the result of [Cache.Encode]
// for obj, which it must not change any more.
func (c *Cache) UpdateEncoded(ctx context.Context, old *Entry, obj resource.Object, plain []byte, ttl time.Duration) (*Entry, error) {
	return c.write(ctx, obj, plain, func(key string, value []byte) (store.KV, error) {
		kv, err := c.hub.store.Update(ctx, key, value, old.Revision, ttl)
		if err == nil {
			kv.CreateRevision = old.CreateRevision
		}
		return kv, err
	})
}

// Delete removes the object if its revision in the store is still that of old,
// and returns it as a DELETED event shows it. Otherwise as Update.
func (c *Cache) Delete(ctx context.Context, old *Entry) (*Entry, error) {
	kv, err := c.hub.store.Delete(ctx, old.Key, old.Revision)
	if err != nil {
		return c.refused(kv, err)
	}
	return old.removed(kv.ModRevision), nil
}

// Fresh returns the object as the store has it now, without waiting for the
// cache to follow. It is for writers that met a conflict.
func (c *Cache) Fresh(ctx context.Context, namespace, name string) (*Entry, error) {
	kv, _, err := c.hub.store.Get(ctx, c.Definition.Key(namespace, name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	e := c.known(kv)
	return e, e.Err
}

// Encode returns the bytes that would be stored for obj. Where they equal
// [Entry.Stored], an update would change nothing, unless the value is stale; see
// [Cache.Stale].
func (c *Cache) Encode(obj resource.Object) ([]byte, error) {
	return c.hub.codec.Encode(c.Definition, obj)
}

// AsStored returns obj as it would be read had it been stored: what the stored
// form does not tell apart is the same. Nothing that obj refers to is written to.
func (c *Cache) AsStored(obj resource.Object) resource.Object {
	if c.Definition.Dynamic != nil {
		return obj
	}
	kind := obj.GetObjectKind().GroupVersionKind()
	obj = c.hub.codec.Share(c.Definition, obj, nil)
	obj.GetObjectKind().SetGroupVersionKind(kind)
	return obj
}

// Stale reports whether the value of an entry should be written again even though
// it would not change, since another key is to encrypt it now. It is asked of the
// store, where another server may have written it with whatever key that has. The
// answer is no where the entry is no longer what is stored: a write of it would be
// refused.
func (c *Cache) Stale(ctx context.Context, e *Entry) (bool, error) {
	if c.transformer == nil || !c.transformer.Active() {
		return false, nil
	}
	kv, _, err := c.hub.store.Get(ctx, e.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case kv.ModRevision != e.Revision:
		return false, nil
	}
	_, stale, err := c.transformer.FromStore(ctx, kv.Key, kv.Value)
	return stale, err
}

// write offers obj, encoded as plain, to the hub, and calls do.
func (c *Cache) write(ctx context.Context, obj resource.Object, plain []byte, do func(key string, value []byte) (store.KV, error)) (*Entry, error) {
	key := c.Definition.Key(obj.GetNamespace(), obj.GetName())
	value := plain
	if c.transformer != nil {
		var err error
		if value, err = c.transformer.ToStore(ctx, key, plain); err != nil {
			return nil, fmt.Errorf("transform %s for the store: %w", key, err)
		}
	}
	o := &offer{cache: c, key: key, value: value, plain: plain, obj: c.hub.codec.Share(c.Definition, obj, plain)}
	c.hub.offers.add(o)
	kv, err := do(key, value)
	if err != nil {
		c.hub.offers.drop(o)
		return c.refused(kv, err)
	}
	e := o.settle(kv)
	c.hub.offers.written(o, kv.ModRevision, c.hub.Revision())
	return e, nil
}

// refused returns the present entry that the store answered a write with.
func (c *Cache) refused(kv store.KV, err error) (*Entry, error) {
	if kv.ModRevision == 0 || !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) {
		return nil, err
	}
	return c.known(kv), err
}

// known returns the entry of a value, without decoding it where the cache has
// it already.
func (c *Cache) known(kv store.KV) *Entry {
	c.mu.RLock()
	e := c.objects.get(kv.Key)
	c.mu.RUnlock()
	if e != nil && e.Revision == kv.ModRevision {
		return e
	}
	return c.decode(kv)
}

// decode makes the entry of a value. It uses the object that a writer of this
// process has offered, where there is one.
func (c *Cache) decode(kv store.KV) *Entry {
	if o := c.hub.offers.find(kv.Key, kv.Value); o != nil && o.cache == c {
		return o.settle(kv)
	}
	plain, generation := kv.Value, c.hub.generation.Load()
	var err error
	var obj resource.Object
	if c.transformer != nil {
		plain, _, err = c.transformer.FromStore(context.Background(), kv.Key, kv.Value)
	}
	if err == nil {
		obj, err = c.hub.codec.Decode(c.Definition, plain)
	}
	// Upstream stores some without a name, such as the ranges of node ports.
	if err == nil && obj.GetName() != "" {
		if key := c.Definition.Key(obj.GetNamespace(), obj.GetName()); key != kv.Key {
			err = fmt.Errorf("it says that it belongs at %s", key)
		}
	}
	if err != nil {
		err = &CorruptError{Key: kv.Key, Err: err}
		c.hub.opts.Log.Error("a stored object is unreadable; reads of it fail until it is repaired or deleted",
			"key", kv.Key, "revision", kv.ModRevision, "err", err)
		ns, name := split(c.Definition, kv.Key)
		return &Entry{
			Key: kv.Key, Namespace: ns, Name: name, Revision: kv.ModRevision,
			CreateRevision: kv.CreateRevision, Err: err, cache: c, stored: kv.Value, generation: generation,
		}
	}
	return c.entry(kv, obj, plain)
}

// entry makes an entry of an object that belongs to the cache.
func (c *Cache) entry(kv store.KV, obj resource.Object, plain []byte) *Entry {
	ns, name := split(c.Definition, kv.Key)
	if c.hub.pool != nil {
		c.hub.pool.Object(common(c.Definition, obj))
	}
	obj.SetResourceVersion(formatRevision(kv.ModRevision))
	obj.SetName(name)
	obj.SetNamespace(ns)
	e := &Entry{
		Key: kv.Key, Namespace: ns, Name: name, Object: obj, Revision: kv.ModRevision,
		CreateRevision: kv.CreateRevision, cache: c, stored: plain,
	}
	if len(c.Definition.Indexed) > 0 {
		fields := c.Definition.Fields(obj)
		e.index = make([]string, len(c.Definition.Indexed))
		for i, name := range c.Definition.Indexed {
			e.index[i] = fields[name]
		}
	}
	return e
}

// common is the part of an object that may have parts in common with others: of
// a dynamic one only the metadata, since the rest is bytes.
func common(def *resource.Definition, obj resource.Object) any {
	if def.Dynamic != nil {
		if a, ok := obj.(metav1.ObjectMetaAccessor); ok {
			return a.GetObjectMeta()
		}
	}
	return obj
}

// offer is an object that is being written, for which the hub will receive the
// event.
type offer struct {
	cache        *Cache
	key          string
	value, plain []byte
	obj          resource.Object
	rev          int64 // 0 until the write was answered

	mu    sync.Mutex
	entry *Entry
}

// settle makes the entry of the write: one for the writer and for the hub,
// whoever comes first.
func (o *offer) settle(kv store.KV) *Entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.entry == nil {
		kv.Key = o.key
		o.entry = o.cache.entry(kv, o.obj, o.plain)
		return o.entry
	}
	if o.entry.Revision != kv.ModRevision {
		// Two writes of the same bytes under the same key: the hub took the
		// one for the other.
		kv.Key = o.key
		return o.cache.entry(kv, o.cache.hub.codec.Share(o.cache.Definition, o.obj, o.plain), o.plain)
	}
	return o.entry
}

// maxOffers bounds the writes under way whose objects are kept.
const maxOffers = 8192

// offers are the writes under way.
type offers struct {
	mu    sync.Mutex
	byKey map[string][]*offer
	n     int
	// answered are writes whose event is still to come.
	answered []*offer
}

func (s *offers) init() { s.byKey = map[string][]*offer{} }

func (s *offers) add(o *offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n < maxOffers {
		s.byKey[o.key] = append(s.byKey[o.key], o)
		s.n++
	}
}

func (s *offers) drop(o *offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(o)
}

func (s *offers) remove(o *offer) {
	list := s.byKey[o.key]
	i := slices.Index(list, o)
	if i < 0 {
		return
	}
	s.n--
	if len(list) == 1 {
		delete(s.byKey, o.key)
		return
	}
	s.byKey[o.key] = append(list[:i:i], list[i+1:]...)
}

// written notes the revision of an answered write, and drops the offer where
// the hub, at revision now, has passed it already.
func (s *offers) written(o *offer, rev, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.byKey[o.key], o) {
		return // the hub has used it
	}
	if rev <= now {
		s.remove(o)
		return
	}
	o.rev = rev
	s.answered = append(s.answered, o)
}

// passed drops the offers of answered writes up to rev, whose events the hub
// has seen, whether or not it had a use for them.
func (s *offers) passed(rev int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = slices.DeleteFunc(s.answered, func(o *offer) bool {
		if o.rev <= rev {
			s.remove(o)
			return true
		}
		return false
	})
}

// find returns the oldest offer with exactly this value, and drops it.
func (s *offers) find(key string, value []byte) *offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.byKey[key] {
		if bytes.Equal(o.value, value) {
			s.remove(o)
			return o
		}
	}
	return nil
}
