package cache

import "sync/atomic"

// topic is a chain of the events that concern one trigger. Watches are
// positions in it. It lives as long as it has watches.
type topic struct {
	// Under the lock of the cache.
	tail    *link
	watches map[*Watch]struct{}
	woken   bool // wakeAll is due at the end of this batch
	sweepAt position

	// wake is closed when something was linked; nil while nobody waits.
	wake atomic.Pointer[chan struct{}]
}

// link is an event in a chain.
type link struct {
	ev   *event
	at   position
	next atomic.Pointer[link]
}

// position in a chain: events and bytes up to it.
type position struct {
	events uint64
	bytes  int64
}

func newTopic() *topic {
	return &topic{tail: &link{}, watches: map[*Watch]struct{}{}}
}

// link appends an event, and cuts watches that are too far behind. They are
// looked for whenever an eighth of the limits has been added.
func (t *topic) link(ev *event, o *Options) {
	was := t.tail.at
	l := &link{ev: ev, at: position{was.events + 1, was.bytes + ev.cost()}}
	t.tail.next.Store(l)
	t.tail = l
	if l.at.events < t.sweepAt.events && l.at.bytes < t.sweepAt.bytes {
		return
	}
	t.sweepAt = position{l.at.events + uint64(max(o.WatchLag/8, 1)), l.at.bytes + o.WatchLagBytes/8}
	for w := range t.watches {
		w.cutIfBehind(l.at, o)
	}
}

// waiting returns a channel that is closed when something is linked after the
// call. Look at the chain once more before waiting for it.
func (t *topic) waiting() <-chan struct{} {
	for {
		if ch := t.wake.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if t.wake.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// wakeAll wakes those who wait.
func (t *topic) wakeAll() {
	if ch := t.wake.Swap(nil); ch != nil {
		close(*ch)
	}
}
