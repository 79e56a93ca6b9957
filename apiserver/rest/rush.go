package rest

import (
	"context"
	"sync"
	"time"
)

// A delivery to a watch costs a TLS record, a system call and a wake-up of the
// client, however many events are in it. Where many watches get many events, that
// is what the server does most: so events are gathered there, and delivered
// together.
const (
	// rushTime: a watch whose deliveries are not as far apart is in a rush.
	rushTime = 10 * time.Millisecond
	// turn is how far apart the deliveries of all watches in a rush are.
	turn = 50 * time.Microsecond
	// minHold is not worth a timer, maxHold is as long as anybody waits.
	minHold, maxHold = 500 * time.Microsecond, 50 * time.Millisecond
	// gathered events are worth a delivery of their own.
	gathered = 64
)

// turns gives the watches in a rush their turns, one after the other. Its zero
// value is ready for use. Safe for concurrent use.
type turns struct {
	mu   sync.Mutex
	next time.Time
}

// take returns how long to wait for one's turn, at most maxHold.
func (t *turns) take(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.Before(now) {
		t.next = now
	}
	d := t.next.Sub(now)
	if d >= maxHold {
		return maxHold
	}
	t.next = t.next.Add(turn)
	return d
}

// rush holds a watch back while it is one of many in a rush. A watch on its own is
// not held back, nor is an event after a pause. It is used by one goroutine.
type rush struct {
	turns *turns
	last  time.Time // of the delivery before
	timer *time.Timer
}

// hold is called after each delivery of so many events, and returns when it is
// time for the next, or ctx has ended.
func (r *rush) hold(ctx context.Context, events int) {
	now := time.Now()
	in := now.Sub(r.last) < rushTime
	r.last = now
	if !in || events >= gathered {
		return
	}
	d := r.turns.take(now)
	if d < minHold {
		return
	}
	if r.timer == nil {
		r.timer = time.NewTimer(d)
	} else {
		r.timer.Reset(d)
	}
	select {
	case <-r.timer.C:
	case <-ctx.Done():
		r.timer.Stop()
	}
	r.last = time.Now()
}
