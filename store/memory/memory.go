package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"

	"proa/store"
)

// MaxValue is the size in bytes past which a value is refused, near enough to
// that of etcd's default request limit.
const MaxValue = 1536*1024 - 512

// Options of a store in memory.
type Options struct {
	// Fault decides over every operation; nil means that none fails.
	Fault func(Op) Fault
	// Observe is told of every change, in order, while the store is locked.
	Observe func(store.Event)
}

// Store keeps keys in memory. It implements store.Store.
type Store struct {
	mu        sync.Mutex
	decide    func(Op) Fault
	observe   func(store.Event)
	ops       int
	rev       int64
	compacted int64
	closed    bool
	keys      *btree.BTreeG[*history]
	log       []store.Event // ascending by revision, since the last compaction
	changed   chan struct{} // closed at the next change of anything above
	watches   map[*watch]struct{}
	expiry    *time.Timer
}

var _ store.Store = (*Store)(nil)

// history is what is remembered of a key: its versions, oldest first.
type history struct {
	key      string
	versions []version
}

type version struct {
	rev, create int64
	value       []byte
	deleted     bool
	expires     time.Time // zero: never
}

// New makes an empty store. Its revision is 1, as that of an empty etcd.
func New(o Options) *Store {
	return &Store{
		decide:  o.Fault,
		observe: o.Observe,
		rev:     1,
		keys:    btree.NewG(16, func(a, b *history) bool { return a.key < b.key }),
		changed: make(chan struct{}),
		watches: map[*watch]struct{}{},
	}
}

// at returns the version of a key as of a revision.
func (h *history) at(rev int64) (store.KV, bool) {
	i := sort.Search(len(h.versions), func(i int) bool { return h.versions[i].rev > rev })
	if i == 0 || h.versions[i-1].deleted {
		return store.KV{}, false
	}
	v := h.versions[i-1]
	return store.KV{Key: h.key, Value: v.value, ModRevision: v.rev, CreateRevision: v.create}, true
}

func (s *Store) get(key string) (store.KV, bool) {
	h, ok := s.keys.Get(&history{key: key})
	if !ok {
		return store.KV{}, false
	}
	return h.at(s.rev)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	if _, err := s.fault(ctx, OpGet, key); err != nil {
		return store.KV{}, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kv, ok := s.get(key)
	if !ok {
		return store.KV{}, s.rev, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return kv, s.rev, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, o store.ListOptions) (store.ListResult, error) {
	if _, err := s.fault(ctx, OpList, prefix); err != nil {
		return store.ListResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := store.ListResult{Revision: s.rev}
	at := s.rev
	switch {
	case o.Revision > s.rev:
		return r, fmt.Errorf("list %s at %d: %w", prefix, o.Revision, store.ErrFuture)
	case o.Revision != 0 && o.Revision < s.compacted:
		return r, fmt.Errorf("list %s at %d: %w", prefix, o.Revision, store.ErrCompacted)
	case o.Revision != 0:
		at = o.Revision
		r.Revision = at
	}
	from := prefix
	if o.After != "" && o.After+"\x00" > from {
		from = o.After + "\x00"
	}
	s.keys.AscendGreaterOrEqual(&history{key: from}, func(h *history) bool {
		if !strings.HasPrefix(h.key, prefix) {
			return false
		}
		kv, ok := h.at(at)
		if !ok {
			return true
		}
		r.Count++
		if !o.CountOnly && (o.Limit == 0 || int64(len(r.KVs)) < o.Limit) {
			r.KVs = append(r.KVs, kv)
		}
		return true
	})
	return r, nil
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (store.KV, error) {
	return s.write(ctx, OpCreate, key, func() (store.KV, error) {
		if kv, ok := s.get(key); ok {
			return kv, fmt.Errorf("%w: %s", store.ErrExists, key)
		}
		return s.put(key, value, 0, ttl)
	})
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, key string, value []byte, rev int64, ttl time.Duration) (store.KV, error) {
	return s.write(ctx, OpUpdate, key, func() (store.KV, error) {
		kv, err := s.expect(key, rev)
		if err != nil {
			return kv, err
		}
		kv, err = s.put(key, value, kv.CreateRevision, ttl)
		kv.CreateRevision = 0
		return kv, err
	})
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, rev int64) (store.KV, error) {
	return s.write(ctx, OpDelete, key, func() (store.KV, error) {
		kv, err := s.expect(key, rev)
		if err != nil {
			return kv, err
		}
		return s.remove(key), nil
	})
}

func (s *Store) expect(key string, rev int64) (store.KV, error) {
	kv, ok := s.get(key)
	if !ok {
		return kv, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	if kv.ModRevision != rev {
		return kv, fmt.Errorf("%w: %s is at %d, not %d", store.ErrConflict, key, kv.ModRevision, rev)
	}
	return kv, nil
}

// write makes one change under the lock, unless a fault forbids it.
func (s *Store) write(ctx context.Context, kind OpKind, key string, change func() (store.KV, error)) (store.KV, error) {
	applied, fault := s.fault(ctx, kind, key)
	if fault != nil && !applied {
		return store.KV{}, fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.KV{}, store.ErrClosed
	}
	kv, err := change()
	if fault != nil {
		return store.KV{}, fault
	}
	return kv, err
}

func (s *Store) put(key string, value []byte, create int64, ttl time.Duration) (store.KV, error) {
	if len(value)+len(key) > MaxValue {
		return store.KV{}, fmt.Errorf("%w: %s has %d bytes", store.ErrTooLarge, key, len(value))
	}
	s.rev++
	created := create == 0
	if created {
		create = s.rev
	}
	v := version{rev: s.rev, create: create, value: append([]byte(nil), value...)}
	if ttl > 0 {
		v.expires = time.Now().Add(ttl)
	}
	kv := store.KV{Key: key, Value: v.value, ModRevision: v.rev, CreateRevision: v.create}
	s.remember(key, v, store.Event{Created: created, KV: kv})
	if ttl > 0 || s.expiry != nil {
		s.armExpiry()
	}
	return kv, nil
}

func (s *Store) remove(key string) store.KV {
	s.rev++
	kv := store.KV{Key: key, ModRevision: s.rev}
	s.remember(key, version{rev: s.rev, deleted: true}, store.Event{Deleted: true, KV: kv})
	return kv
}

func (s *Store) remember(key string, v version, ev store.Event) {
	h, ok := s.keys.Get(&history{key: key})
	if !ok {
		h = &history{key: key}
		s.keys.ReplaceOrInsert(h)
	}
	h.versions = append(h.versions, v)
	s.log = append(s.log, ev)
	if s.observe != nil {
		s.observe(ev)
	}
	s.wake()
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// armExpiry sets the timer to the next key that is due.
func (s *Store) armExpiry() {
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	var next time.Time
	s.keys.Ascend(func(h *history) bool {
		if v := h.versions[len(h.versions)-1]; !v.expires.IsZero() && (next.IsZero() || v.expires.Before(next)) {
			next = v.expires
		}
		return true
	})
	if next.IsZero() || s.closed {
		return
	}
	s.expiry = time.AfterFunc(time.Until(next), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return
		}
		now := time.Now()
		var due []string
		s.keys.Ascend(func(h *history) bool {
			if v := h.versions[len(h.versions)-1]; !v.expires.IsZero() && !v.expires.After(now) {
				due = append(due, h.key)
			}
			return true
		})
		for _, key := range due {
			s.remove(key)
		}
		s.armExpiry()
	})
}

// Revision implements store.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	if _, err := s.fault(ctx, OpRevision, ""); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rev, nil
}

// Compacted implements store.Store.
func (s *Store) Compacted() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compacted
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, rev int64) error {
	if _, err := s.fault(ctx, OpCompact, ""); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case rev > s.rev:
		return fmt.Errorf("compact at %d: %w", rev, store.ErrFuture)
	case rev <= s.compacted:
		return fmt.Errorf("compact at %d: %w", rev, store.ErrCompacted)
	}
	s.compacted = rev
	var empty []*history
	s.keys.Ascend(func(h *history) bool {
		i := sort.Search(len(h.versions), func(i int) bool { return h.versions[i].rev > rev })
		if i > 0 {
			i-- // the version that rev still sees
		}
		if i < len(h.versions) && h.versions[i].deleted && h.versions[i].rev <= rev {
			i++
		}
		h.versions = append([]version(nil), h.versions[i:]...)
		if len(h.versions) == 0 {
			empty = append(empty, h)
		}
		return true
	})
	for _, h := range empty {
		s.keys.Delete(h)
	}
	// A running watch is not harmed by compaction, so its events are kept.
	keep := rev
	for w := range s.watches {
		keep = min(keep, w.at+1)
	}
	i := sort.Search(len(s.log), func(i int) bool { return s.log[i].KV.ModRevision >= keep })
	s.log = append([]store.Event(nil), s.log[i:]...)
	return nil
}

// dump is the form of a snapshot: one JSON document.
type dump struct {
	Revision int64
	Keys     []dumpKey
}

type dumpKey struct {
	Key            string
	Value          []byte
	ModRevision    int64
	CreateRevision int64
}

// Snapshot implements store.Store. The form is JSON, which Restore reads.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	d := dump{Revision: s.rev}
	s.keys.Ascend(func(h *history) bool {
		if kv, ok := h.at(s.rev); ok {
			d.Keys = append(d.Keys, dumpKey(kv))
		}
		return true
	})
	s.mu.Unlock()
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(d)
}

// Restore makes a store from a Snapshot. Its history begins at the snapshot's
// revision; times to live are not kept.
func Restore(r io.Reader, o Options) (*Store, error) {
	var d dump
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	s := New(o)
	s.rev, s.compacted = d.Revision, d.Revision
	for _, k := range d.Keys {
		s.keys.ReplaceOrInsert(&history{key: k.Key, versions: []version{{rev: k.ModRevision, create: k.CreateRevision, value: k.Value}}})
	}
	return s, nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.expiry != nil {
		s.expiry.Stop()
	}
	for w := range s.watches {
		w.end(store.ErrClosed)
	}
	s.wake()
	return nil
}
