package rest

import (
	"context"
	"sync/atomic"
	"time"
)

// A delivery to a watch costs a TLS record, a system call and a wake-up of the
// client, however many events are in it. Where many watches get many events, that
// is what the server does most: so events are gathered there, and delivered
// together.
const (
	// rushTime: a watch whose deliveries are not as far apart is in a rush.
	rushTime = 10 * time.Millisecond
	// holdEach is for how long a watch in a rush is held for each one that is:
	// together they get 20,000 deliveries a second, which is less than a core.
	holdEach = 50 * time.Microsecond
	// minHold is not worth a timer, maxHold is as long as anybody waits.
	minHold, maxHold = 500 * time.Microsecond, 50 * time.Millisecond
	// gathered events are worth a delivery of their own.
	gathered = 64
)

// rush holds a watch back while it is one of many in a rush. A watch on its own is
// not held back, nor is an event after a pause. It is used by one goroutine.
type rush struct {
	all   *atomic.Int64 // how many watches are in a rush
	in    bool          // this one is
	last  time.Time     // of the delivery before
	timer *time.Timer
}

// hold is called after each delivery of so many events, and returns when it is
// time for the next, or ctx has ended.
func (r *rush) hold(ctx context.Context, events int) {
	now := time.Now()
	in := now.Sub(r.last) < rushTime
	r.last = now
	if in != r.in {
		r.in = in
		if in {
			r.all.Add(1)
		} else {
			r.all.Add(-1)
		}
	}
	if !in || events >= gathered {
		return
	}
	d := min(time.Duration(r.all.Load())*holdEach, maxHold)
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

// end is called when the watch ends.
func (r *rush) end() {
	if r.in {
		r.all.Add(-1)
		r.in = false
	}
}
