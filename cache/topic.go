package cache

import "sync/atomic"

// topic is a chain of the events that concern one trigger. Watches are
// positions in it. It lives as long as it has watches.
type topic struct {
	// Under the lock of the cache.
	tail    *link
	watches map[*Watch]struct{}
	woken   bool // wakeAll is due at the end of this batch
	sweepAt uint64

	// wake is closed when something was linked; nil while nobody waits.
	wake atomic.Pointer[chan struct{}]
}

// link is an event in a chain.
type link struct {
	ev   *event
	seq  uint64
	next atomic.Pointer[link]
}

func newTopic() *topic {
	return &topic{tail: &link{}, watches: map[*Watch]struct{}{}}
}

// link appends an event, and cuts watches that are more than lag behind.
func (t *topic) link(ev *event, lag int) {
	l := &link{ev: ev, seq: t.tail.seq + 1}
	t.tail.next.Store(l)
	t.tail = l
	if l.seq < t.sweepAt {
		return
	}
	t.sweepAt = l.seq + uint64(max(lag/8, 1))
	for w := range t.watches {
		w.cutIfBehind(l.seq, lag)
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
