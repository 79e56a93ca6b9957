package cache

import (
	"sort"
	"sync"
	"time"
)

// event is one change of one object. For a creation prev is nil, for a removal
// cur is. Either may be corrupt; visible tells.
type event struct {
	rev       int64
	prev, cur *Entry
	at        time.Time

	once sync.Once
	last *Entry // see removed
}

// removed is the entry that a DELETED event shows to those for whom the object
// is gone. It is made once for all of them.
func (ev *event) removed() *Entry {
	ev.once.Do(func() { ev.last = ev.prev.visible().removed(ev.rev) })
	return ev.last
}

// cost is about how much memory the log keeps alive by the event.
func (ev *event) cost() int64 {
	if ev.prev == nil {
		return 128
	}
	return 128 + ev.prev.cost()
}

// eventLog is the last events of a resource, in order of revision.
type eventLog struct {
	events []*event
	bytes  int64
	// floor: all events after it are in the log.
	floor int64
	// exact: the past can be rebuilt by undoing events down to here. It is
	// above floor after a resync, which knows the differences but not the
	// states between.
	exact int64
	// A watch cannot begin strictly inside the gap that a resync bridged,
	// since the revisions of removals there are assumed.
	gapFrom, gapTo int64
}

// minLogEvents stay whatever their age.
const minLogEvents = 128

func (l *eventLog) add(ev *event, now time.Time) {
	ev.at = now
	l.events = append(l.events, ev)
	l.bytes += ev.cost()
}

// after returns the events after rev. The result shares no memory that changes.
func (l *eventLog) after(rev int64) []*event {
	i := sort.Search(len(l.events), func(i int) bool { return l.events[i].rev > rev })
	return append([]*event(nil), l.events[i:]...)
}

// remembers reports whether a watch may begin after rev.
func (l *eventLog) remembers(rev int64) bool {
	return rev >= l.floor && (rev <= l.gapFrom || rev >= l.gapTo)
}

// trim drops the oldest events past the bounds.
func (l *eventLog) trim(maxEvents int, maxBytes int64, maxAge time.Duration, now time.Time) {
	n := 0
	for n < len(l.events)-1 {
		ev := l.events[n]
		left := len(l.events) - n
		if left <= maxEvents && l.bytes <= maxBytes && (left <= minLogEvents || now.Sub(ev.at) <= maxAge) {
			break
		}
		l.bytes -= ev.cost()
		l.floor = ev.rev
		n++
	}
	if n == 0 {
		return
	}
	l.exact = max(l.exact, l.floor)
	clear(l.events[:n])
	l.events = l.events[n:]
	if cap(l.events) > 4*len(l.events)+64 {
		l.events = append(make([]*event, 0, 2*len(l.events)), l.events...)
	}
}

// restart forgets everything up to rev.
func (l *eventLog) restart(rev int64) { *l = eventLog{floor: rev, exact: rev} }

func (c *Cache) trimLog() {
	o := &c.hub.opts
	c.log.trim(o.LogEvents, o.LogBytes, o.LogAge, o.Now())
}
