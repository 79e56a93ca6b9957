package memory

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"proa/store"
)

// watch is a position in the store's log, guarded by the store's lock.
type watch struct {
	s        *Store
	ctx      context.Context
	prefix   string
	at       int64 // everything up to here was delivered
	progress bool  // a batch is due even without events
	err      error // why it ended
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) (store.Watch, error) {
	if _, err := s.fault(ctx, OpWatch, prefix); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	w := &watch{s: s, ctx: ctx, prefix: prefix, at: after}
	if after+1 < s.compacted {
		w.err = fmt.Errorf("watch %s after %d: %w", prefix, after, store.ErrCompacted)
		return w, nil
	}
	s.watches[w] = struct{}{}
	return w, nil
}

// Next implements store.Watch.
func (w *watch) Next(ctx context.Context) (store.Batch, error) {
	s := w.s
	for {
		s.mu.Lock()
		if w.err == nil && w.ctx.Err() != nil {
			w.end(w.ctx.Err())
		}
		if w.err != nil {
			defer s.mu.Unlock()
			return store.Batch{}, w.err
		}
		b, ok := w.take()
		changed := s.changed
		s.mu.Unlock()
		if ok {
			return b, nil
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
		case <-ctx.Done():
			return store.Batch{}, ctx.Err()
		}
	}
}

// take returns the events that have come since the last batch.
func (w *watch) take() (store.Batch, bool) {
	s := w.s
	if s.rev <= w.at && !w.progress {
		return store.Batch{}, false
	}
	b := store.Batch{Revision: max(s.rev, w.at)}
	i := sort.Search(len(s.log), func(i int) bool { return s.log[i].KV.ModRevision > w.at })
	for _, ev := range s.log[i:] {
		if strings.HasPrefix(ev.KV.Key, w.prefix) {
			b.Events = append(b.Events, ev)
		}
	}
	w.at = b.Revision
	ok := len(b.Events) > 0 || w.progress
	w.progress = false
	return b, ok
}

// Progress implements store.Watch.
func (w *watch) Progress(ctx context.Context) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.progress = true
	w.s.wake()
	return ctx.Err()
}

// Stop implements store.Watch.
func (w *watch) Stop() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.end(context.Canceled)
	w.s.wake()
}

func (w *watch) end(err error) {
	if w.err == nil {
		w.err = err
	}
	delete(w.s.watches, w)
}

// CutWatches ends all running watches with err, without what they had not yet
// delivered.
func (s *Store) CutWatches(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		w.end(fmt.Errorf("watch %s: %w", w.prefix, err))
	}
	s.wake()
}
