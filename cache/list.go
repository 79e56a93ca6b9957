package cache

import (
	"context"
	"strings"

	"proa/resource"
)

// Match says which revision a read is to show.
type Match uint8

const (
	// Latest: everything that was written before the read.
	Latest Match = iota
	// Any: what the cache holds, which may be behind.
	Any
	// NotOlder: Revision or any later one.
	NotOlder
	// Exact: Revision.
	Exact
)

// ListRequest says what to list.
type ListRequest struct {
	Predicate *Predicate
	Match     Match
	Revision  int64
	// Limit is the largest number of entries, 0 for all.
	Limit int64
	// Continue is the token of the previous page. Match and Revision are then
	// those of the token.
	Continue string
}

// ListResult is the answer to a List.
type ListResult struct {
	// Entries in order of their keys. The slice is the caller's.
	Entries []*Entry
	// Revision as of which the list is true.
	Revision int64
	// Continue is the token for the next page, empty after the last.
	Continue string
	// Remaining is how many objects follow after this page, known only where
	// everything was selected and there is a next page.
	Remaining *int64
}

// waitFor waits until the cache is loaded and can answer a read.
func (c *Cache) waitFor(ctx context.Context, m Match, rev int64) error {
	if err := c.Wait(ctx); err != nil {
		return err
	}
	if m == Latest {
		return c.hub.WaitLatest(ctx)
	}
	return nil
}

// Get returns one object, and the revision of the read. The error is
// ErrNotFound (the revision is then valid too), a *CorruptError, or that of
// waiting for the revision. Match is Latest, Any or NotOlder.
func (c *Cache) Get(ctx context.Context, namespace, name string, m Match, rev int64) (*Entry, int64, error) {
	if err := c.waitFor(ctx, m, rev); err != nil {
		return nil, 0, err
	}
	if m == NotOlder {
		if err := c.waitUntil(ctx, rev); err != nil {
			return nil, 0, err
		}
	}
	now := c.revision()
	c.mu.RLock()
	e := c.objects.get(c.Definition.Key(namespace, name))
	now = max(now, c.last)
	c.mu.RUnlock()
	if e == nil {
		return nil, now, ErrNotFound
	}
	return e, now, e.Err
}

func (c *Cache) waitUntil(ctx context.Context, rev int64) error {
	if c.loaded.Load() >= rev {
		return nil
	}
	return c.hub.WaitUntil(ctx, rev)
}

// List returns the selected objects.
func (c *Cache) List(ctx context.Context, r ListRequest) (ListResult, error) {
	prefix := c.root
	if ns := r.Predicate.Namespace(); ns != "" {
		prefix += ns + "/"
	}
	from, token := "", r.Continue != ""
	if token {
		rev, start, err := decodeContinue(r.Continue)
		if err != nil {
			return ListResult{}, err
		}
		from, r.Match, r.Revision = prefix+start, Exact, rev
		if rev < 0 {
			r.Match = Latest
		}
	}
	if err := c.waitFor(ctx, r.Match, r.Revision); err != nil {
		return ListResult{}, err
	}
	snap, rev, err := c.choose(ctx, r)
	if err != nil {
		if e, ok := err.(*ExpiredError); ok && token {
			e.Paging, e.Continue = true, encodeContinue(-1, strings.TrimPrefix(from, prefix))
		}
		return ListResult{}, err
	}
	res := ListResult{Revision: rev}
	if r.Limit == 0 && r.Predicate.Everything() && r.Predicate.Namespace() == "" {
		res.Entries = make([]*Entry, 0, snap.keys.Len())
	}
	more := false
	_, err = snap.scan(c.Definition, r.Predicate, from, func(e *Entry) bool {
		if r.Limit > 0 && int64(len(res.Entries)) == r.Limit {
			more = true
			return false
		}
		res.Entries = append(res.Entries, e)
		return true
	})
	if err != nil {
		return ListResult{}, err
	}
	if more {
		last := res.Entries[len(res.Entries)-1].Key
		res.Continue = encodeContinue(rev, strings.TrimPrefix(last, prefix)+"\x00")
		if r.Predicate.Everything() {
			n := snap.count(prefix, last+"\x00")
			res.Remaining = &n
		}
		c.pinAs(snap, rev)
	}
	return res, nil
}

// choose returns the snapshot that answers the request, and its revision.
func (c *Cache) choose(ctx context.Context, r ListRequest) (*snapshot, int64, error) {
	switch r.Match {
	case NotOlder:
		if err := c.waitUntil(ctx, r.Revision); err != nil {
			return nil, 0, err
		}
	case Exact:
		if err := c.waitUntil(ctx, r.Revision); err != nil {
			return nil, 0, err
		}
		s, err := c.past(ctx, r.Revision)
		return s, r.Revision, err
	}
	s, rev := c.present()
	return s, rev, nil
}

// scan calls visit with the selected entries, in order of their keys, from the
// given key on, until it returns false; the key to go on from is then
// returned. A corrupt entry that may be selected is an error.
func (s *snapshot) scan(def *resource.Definition, p *Predicate, from string, visit func(*Entry) bool) (next string, err error) {
	prefix := def.Root()
	if ns := p.Namespace(); ns != "" {
		prefix += ns + "/"
	}
	one := func(e *Entry) bool {
		if !p.Matches(e) {
			return true
		}
		if e.Err != nil {
			err = e.Err
			return false
		}
		if !visit(e) {
			next = e.Key + "\x00"
			return false
		}
		return true
	}
	switch {
	case p != nil && p.name != "" && (p.namespace != "" || def.ClusterScoped):
		if key := def.Key(p.namespace, p.name); key >= from {
			if e := s.get(key); e != nil {
				one(e)
			}
		}
	case p != nil && p.indexed >= 0 && !s.corrupt:
		i := p.indexed
		index := make([]string, i+1)
		index[i] = p.value
		s.indexes[i].AscendGreaterOrEqual(&Entry{Key: max(from, prefix), index: index}, func(e *Entry) bool {
			return indexValue(e, i) == p.value && strings.HasPrefix(e.Key, prefix) && one(e)
		})
	default:
		s.keys.AscendGreaterOrEqual(&Entry{Key: max(from, prefix)}, func(e *Entry) bool {
			return strings.HasPrefix(e.Key, prefix) && one(e)
		})
	}
	return next, err
}

// count returns the number of keys with the prefix from the given key on.
func (s *snapshot) count(prefix, from string) int64 {
	n := int64(0)
	s.keys.AscendGreaterOrEqual(&Entry{Key: max(from, prefix)}, func(e *Entry) bool {
		if !strings.HasPrefix(e.Key, prefix) {
			return false
		}
		n++
		return true
	})
	return n
}
