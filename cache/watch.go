package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// WatchRequest says what to watch and from when.
type WatchRequest struct {
	Predicate *Predicate
	// From says from when.
	//
	//	Latest, Any, NotOlder   first everything that there is, as ADDED events
	//	                        in order of keys, then what changes
	//	Exact                   what changes after Revision
	//
	// A Revision that is still to come is waited for with NotOlder, and with
	// Exact simply nothing is sent before it has passed.
	From     Match
	Revision int64
	// SkipInitial leaves out the initial ADDED events of Latest, Any and
	// NotOlder: only what changes from then on is sent.
	SkipInitial bool
	// InitialEventsEnd sends a bookmark after the initial events, marked as
	// their end.
	InitialEventsEnd bool
	// Bookmarks are sent about once a minute.
	Bookmarks bool
}

// WatchEvent is what a watch delivers.
type WatchEvent struct {
	// Type is watch.Added, Modified, Deleted or Bookmark.
	Type watch.EventType
	// Entry is the object; for Deleted as it last was, at the revision of its
	// removal, or of the change by which it left the selection. It is nil for
	// bookmarks.
	Entry    *Entry
	Revision int64
	// InitialEventsEnd marks the bookmark that ends the initial events.
	InitialEventsEnd bool
}

// batchSize is how many events Next returns at most.
const batchSize = 256

// Watch is a running watch. Next is for one goroutine at a time.
type Watch struct {
	cache     *Cache
	predicate *Predicate
	topic     *topic
	trigger   trigger
	bookmarks bool
	markAsked atomic.Bool

	// The position, for those who look for laggards.
	seenEvents atomic.Uint64
	seenBytes  atomic.Int64

	mu      sync.Mutex // held while the position moves, not while waiting
	at      *link      // last link delivered; nil once cut or stopped
	err     error      // why at is nil
	initial *initialEvents
	backlog []*event // from the log, before the chain
	after   int64    // events up to here are not sent
	buf     []WatchEvent

	timer *time.Timer // next bookmark
}

// initialEvents is the state that a watch begins with.
type initialEvents struct {
	snap *snapshot
	rev  int64
	next string // key to go on from
	done bool   // only the bookmark is left
	end  bool   // send the bookmark
}

// Watch begins a watch. The caller must Stop it.
func (c *Cache) Watch(ctx context.Context, r WatchRequest) (*Watch, error) {
	if err := c.waitFor(ctx, r.From, r.Revision); err != nil {
		return nil, err
	}
	if r.From == NotOlder {
		if err := c.waitUntil(ctx, r.Revision); err != nil {
			return nil, err
		}
	}
	w := &Watch{
		cache: c, predicate: r.Predicate, bookmarks: r.Bookmarks,
		trigger: r.Predicate.trigger(c.Definition),
	}
	rev := c.revision()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped {
		return nil, ErrGone
	}
	if r.From == Exact {
		if !c.log.remembers(r.Revision) {
			return nil, &ExpiredError{Requested: r.Revision, Oldest: c.log.floor}
		}
		w.after = r.Revision
		w.backlog = c.log.after(r.Revision)
	} else {
		snap := c.presentLocked()
		rev = max(rev, snap.rev)
		w.after = snap.rev
		w.initial = &initialEvents{snap: snap, rev: rev, done: r.SkipInitial, end: r.InitialEventsEnd}
	}
	w.topic = c.topics[w.trigger]
	if w.topic == nil {
		w.topic = newTopic()
		c.topics[w.trigger] = w.topic
	}
	w.topic.watches[w] = struct{}{}
	w.at = w.topic.tail
	w.note()
	if w.bookmarks {
		w.timer = time.NewTimer(w.bookmarkDelay())
	}
	return w, nil
}

// bookmarkDelay spreads bookmarks over ± a quarter of the interval.
func (w *Watch) bookmarkDelay() time.Duration {
	d := w.cache.hub.opts.BookmarkInterval
	return d - d/4 + time.Duration(w.cache.hub.opts.Rand()*float64(d)/2)
}

// Next waits for events and returns at least one. The slice is used again by
// the following call. An error ends the watch: that of ctx, ErrSlow when the
// reader was too far behind, ErrGone when the resource is no longer served, an
// *ExpiredError when the store lost its history, or a *CorruptError when an
// initial object cannot be decoded.
func (w *Watch) Next(ctx context.Context) ([]WatchEvent, error) {
	for {
		if events, err := w.poll(); len(events) > 0 || err != nil {
			return events, err
		}
		wake := w.topic.waiting()
		if events, err := w.poll(); len(events) > 0 || err != nil {
			return events, err
		}
		var due <-chan time.Time
		if w.timer != nil {
			due = w.timer.C
		}
		select {
		case <-wake:
		case <-due:
			w.markAsked.Store(true)
		case <-w.cache.gone:
			return nil, ErrGone
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Bookmark asks for a bookmark soon, whatever WatchRequest.Bookmarks says.
func (w *Watch) Bookmark() {
	w.markAsked.Store(true)
	w.topic.wakeAll()
}

// poll returns what can be delivered now.
func (w *Watch) poll() ([]WatchEvent, error) {
	// What the chain holds after this was read is complete up to it.
	rev := w.cache.revision()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == nil {
		return nil, w.err
	}
	w.buf = w.buf[:0]
	if w.initial != nil {
		if err := w.pollInitial(); err != nil {
			return nil, err
		}
		if w.initial != nil || len(w.buf) > 0 {
			return w.buf, nil
		}
	}
	for len(w.backlog) > 0 && len(w.buf) < batchSize {
		w.deliver(w.backlog[0])
		w.backlog = w.backlog[1:]
	}
	if len(w.backlog) > 0 {
		return w.buf, nil
	}
	w.backlog = nil
	at := w.at
	for len(w.buf) < batchSize {
		next := at.next.Load()
		if next == nil {
			break
		}
		at = next
		w.deliver(at.ev)
	}
	w.at = at
	w.note()
	if len(w.buf) == 0 && w.markAsked.Swap(false) {
		w.buf = append(w.buf, WatchEvent{Type: watch.Bookmark, Revision: max(rev, w.after)})
		if w.timer != nil {
			w.timer.Reset(w.bookmarkDelay())
		}
	}
	return w.buf, nil
}

// pollInitial delivers a piece of the initial state, and its end.
func (w *Watch) pollInitial() error {
	in := w.initial
	if !in.done {
		next, err := in.snap.scan(w.cache.Definition, w.predicate, in.next, func(e *Entry) bool {
			w.buf = append(w.buf, WatchEvent{Type: watch.Added, Entry: e, Revision: e.Revision})
			return len(w.buf) < batchSize
		})
		if err != nil {
			return err
		}
		in.next = next
		in.done = next == ""
	}
	if in.done && len(w.buf) < batchSize {
		if in.end {
			w.buf = append(w.buf, WatchEvent{Type: watch.Bookmark, Revision: in.rev, InitialEventsEnd: true})
		}
		w.initial = nil
	}
	return nil
}

// deliver appends the event as the predicate sees it, if it does.
func (w *Watch) deliver(ev *event) {
	if ev.rev <= w.after || ev.cur != nil && ev.cur.Err != nil {
		return
	}
	w.after = ev.rev
	prev, cur := ev.prev.visible(), ev.cur
	was, is := w.predicate.Matches(prev), w.predicate.Matches(cur)
	e := WatchEvent{Entry: cur, Revision: ev.rev}
	switch {
	case was && is:
		e.Type = watch.Modified
	case is:
		e.Type = watch.Added
	case was:
		e.Type, e.Entry = watch.Deleted, ev.removed()
	default:
		return
	}
	w.buf = append(w.buf, e)
}

// note lets others see the position.
func (w *Watch) note() {
	w.seenEvents.Store(w.at.at.events)
	w.seenBytes.Store(w.at.at.bytes)
}

// cutIfBehind ends the watch if it is too far behind the given position. It is
// called under the lock of the cache, and does not wait for a reader that is
// moving: that one is not stalled.
func (w *Watch) cutIfBehind(now position, o *Options) {
	if now.events-w.seenEvents.Load() <= uint64(o.WatchLag) && now.bytes-w.seenBytes.Load() <= o.WatchLagBytes || !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	w.cut(ErrSlow)
}

// cut lets go of everything the watch holds. Its lock must be held.
func (w *Watch) cut(err error) {
	if w.at == nil {
		return
	}
	w.at, w.err, w.initial, w.backlog, w.buf = nil, err, nil, nil, nil
}

// Stop ends the watch. It may be called more than once, and from any
// goroutine.
func (w *Watch) Stop() {
	c := w.cache
	c.mu.Lock()
	delete(w.topic.watches, w)
	if len(w.topic.watches) == 0 && c.topics[w.trigger] == w.topic {
		delete(c.topics, w.trigger)
	}
	c.mu.Unlock()
	w.mu.Lock()
	w.cut(context.Canceled)
	w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.topic.wakeAll()
}
