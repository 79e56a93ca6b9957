package cache

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"proa/store"
)

func formatRevision(rev int64) string { return strconv.FormatInt(rev, 10) }

// progress is the revision up to which the hub has delivered everything, and
// those who wait for it to rise.
type progress struct {
	rev atomic.Int64

	mu      sync.Mutex
	waiters map[*waiter]struct{}
}

type waiter struct {
	rev  int64
	done chan struct{}
}

// publish raises the revision.
func (p *progress) publish(rev int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rev <= p.rev.Load() {
		return
	}
	p.rev.Store(rev)
	for w := range p.waiters {
		if w.rev <= rev {
			close(w.done)
			delete(p.waiters, w)
		}
	}
}

// reset sets the revision of a store that was put back in time.
func (p *progress) reset(rev int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rev.Store(rev)
}

// wait returns a waiter for rev, or nil if it has been reached.
func (p *progress) wait(rev int64) *waiter {
	if p.rev.Load() >= rev {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rev.Load() >= rev {
		return nil
	}
	w := &waiter{rev: rev, done: make(chan struct{})}
	if p.waiters == nil {
		p.waiters = map[*waiter]struct{}{}
	}
	p.waiters[w] = struct{}{}
	return w
}

func (p *progress) forget(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiters, w)
}

// Times after which a reader that waits for a revision asks the store how far
// the watch is. The revision may have been that of a key which the hub does
// not watch, and then no event ever comes.
const (
	firstProgress = 5 * time.Millisecond
	nextProgress  = 100 * time.Millisecond
)

// WaitUntil waits until everything up to rev has been delivered. It fails with
// a *FutureError when that takes longer than Options.WaitTimeout.
func (h *Hub) WaitUntil(ctx context.Context, rev int64) error {
	w := h.progress.wait(rev)
	if w == nil {
		return nil
	}
	defer h.progress.forget(w)
	deadline := time.NewTimer(h.opts.WaitTimeout)
	defer deadline.Stop()
	ask := time.NewTimer(firstProgress)
	defer ask.Stop()
	for {
		select {
		case <-w.done:
			return nil
		case <-ask.C:
			h.requestProgress(ctx)
			ask.Reset(nextProgress)
		case <-deadline.C:
			return &FutureError{Requested: rev, Present: h.progress.rev.Load()}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *Hub) requestProgress(ctx context.Context) {
	if w := h.watch.Load(); w != nil {
		// A failure shows in the watch itself.
		_ = (*w).Progress(ctx)
	}
}

// Revision is the revision up to which everything has been delivered.
func (h *Hub) Revision() int64 { return h.progress.rev.Load() }

// latest shares the store's answer to "what is the present revision" among all
// who asked before the question was put.
type latest struct {
	store store.Store
	turn  chan struct{} // holds one token
	begun atomic.Int64  // questions put so far

	// Of the last question that was answered, under the token.
	number, rev int64
}

func newLatest(s store.Store) *latest {
	l := &latest{store: s, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

func (l *latest) revision(ctx context.Context) (int64, error) {
	arrived := l.begun.Load()
	select {
	case <-l.turn:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { l.turn <- struct{}{} }()
	if l.number > arrived {
		return l.rev, nil // asked and answered while this one waited
	}
	n := l.begun.Add(1)
	rev, err := l.store.Revision(ctx)
	if err != nil {
		return 0, err
	}
	l.number, l.rev = n, rev
	return rev, nil
}

// WaitLatest waits until everything that was written before the call has been
// delivered, and so makes a following read of the cache linearizable. Where
// the store cannot be asked, or does not deliver, the *FutureError says that
// the cache is unavailable for consistent reads.
func (h *Hub) WaitLatest(ctx context.Context) error {
	rev, err := h.latest.revision(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &FutureError{Present: h.Revision(), Unavailable: true, Err: err}
	}
	err = h.WaitUntil(ctx, rev)
	if f, ok := err.(*FutureError); ok {
		f.Unavailable = true
	}
	return err
}
