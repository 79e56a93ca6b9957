package fairness

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apiserver/pkg/util/shufflesharding"
)

// Why a request was refused. These are the reasons in metrics, too.
var (
	errQueueFull = errors.New("queue-full")
	errTimeOut   = errors.New("time-out")
	errLimit     = errors.New("concurrency-limit")
	errCancelled = errors.New("cancelled")
)

// level is a priority level at work. It is safe for concurrent use.
type level struct {
	name string

	mu     sync.Mutex
	exempt bool
	limit  int // seats
	bounds bounds
	smooth float64 // seats that are expected to be wanted
	taken  int     // seats
	inside int     // requests that have seats
	demand demand
	dealer *shufflesharding.Dealer // nil: nobody waits
	hand   []int
	queues *queues
	// left are queues that were replaced while somebody waited in them. They come
	// first.
	left []*queues
}

// counts of one schema.
type counts struct {
	dispatched, full, timeout, limited, cancelled atomic.Uint64
}

func (c *counts) rejected(why error) {
	switch why {
	case errQueueFull:
		c.full.Add(1)
	case errTimeOut:
		c.timeout.Add(1)
	case errLimit:
		c.limited.Add(1)
	case errCancelled:
		c.cancelled.Add(1)
	}
}

var seed = maphash.MakeSeed()

// flowHash tells flows apart among all that share a level.
func flowHash(schema, flow string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(schema)
	h.WriteByte(0)
	h.WriteString(flow)
	return h.Sum64()
}

// configure gives a level new settings. What waits goes on waiting.
func (l *level) configure(spec *flowcontrolv1.PriorityLevelConfigurationSpec, b bounds) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bounds != b {
		l.limit, l.bounds = b.nominal, b
	}
	l.exempt = spec.Type == flowcontrolv1.PriorityLevelEnablementExempt
	var q *flowcontrolv1.QueuingConfiguration
	if spec.Limited != nil {
		q = spec.Limited.LimitResponse.Queuing
	}
	var dealer *shufflesharding.Dealer
	if q != nil {
		// Validation has refused what no dealer can deal.
		dealer, _ = shufflesharding.NewDealer(int(q.Queues), int(q.HandSize))
	}
	if dealer == nil || l.dealer == nil || *dealer != *l.dealer || l.queues.length != int(q.QueueLengthLimit) {
		if l.queues != nil && l.queues.len() > 0 {
			l.left = append(l.left, l.queues)
		}
		l.dealer, l.queues, l.hand = dealer, nil, nil
		if dealer != nil {
			l.queues, l.hand = newQueues(int(q.QueueLengthLimit)), make([]int, 0, q.HandSize)
		}
	}
	l.dispatch()
}

// setLimit changes the number of seats.
func (l *level) setLimit(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
	l.dispatch()
	if l.queues != nil {
		l.queues.sweep()
	}
}

// enter takes seats, or waits for them until ctx ends or for so long. Whoever got
// no error must leave with what was returned.
func (l *level) enter(ctx context.Context, hash func() uint64, width int, now time.Time, patience time.Duration) (*waiter, error) {
	l.mu.Lock()
	// A level that lends all that it has still lets one request at a time go.
	width = min(width, max(1, int(mostPart*float64(l.bounds.nominal))))
	w := &waiter{width: width}
	if l.exempt || len(l.left) == 0 && (l.queues == nil || len(l.queues.waiting) == 0) && l.taken+width <= l.limit {
		l.demand.change(width, now)
		l.taken += width
		l.inside++
		l.mu.Unlock()
		return w, nil
	}
	if l.queues == nil {
		l.mu.Unlock()
		return nil, errLimit
	}
	q := l.queues
	l.hand = l.dealer.DealIntoHand(hash(), l.hand[:0])
	w.dispatched = make(chan struct{})
	if !q.push(q.shortest(l.hand), w) {
		l.mu.Unlock()
		return nil, errQueueFull
	}
	l.demand.change(width, now)
	l.dispatch()
	l.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	why := errTimeOut
	select {
	case <-w.dispatched:
		return w, nil
	case <-timer.C:
	case <-ctx.Done():
		why = errCancelled
	}
	l.mu.Lock()
	select {
	case <-w.dispatched: // just now
		l.mu.Unlock()
		return w, nil
	default:
	}
	q.remove(w)
	l.demand.change(-width, time.Now())
	// It may have been the one that all others stood behind.
	l.dispatch()
	l.mu.Unlock()
	return nil, why
}

// leave gives seats back that were used since a time.
func (l *level) leave(w *waiter, since, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken -= w.width
	l.inside--
	l.demand.change(-w.width, now)
	w.done(now.Sub(since))
	l.dispatch()
}

// dispatch lets those go whose turn it is, as long as there are seats. Who is
// next and needs more seats than are free is not overtaken.
func (l *level) dispatch() {
	for len(l.left) > 0 {
		if !l.dispatchFrom(l.left[0]) {
			return
		}
		l.left = l.left[1:]
	}
	if l.queues != nil {
		l.dispatchFrom(l.queues)
	}
}

// dispatchFrom reports whether nobody waits any more.
func (l *level) dispatchFrom(q *queues) bool {
	for w := q.peek(); w != nil; w = q.peek() {
		if !l.exempt && (l.limit == 0 || l.taken > 0 && l.taken+w.width > l.limit) {
			return false
		}
		q.pop(w)
		l.taken += w.width
		l.inside++
		close(w.dispatched)
	}
	return true
}

// busy reports whether seats are taken or waited for.
func (l *level) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.demand.now > 0
}

// period ends a period of the level's demand.
func (l *level) period(now time.Time) wish {
	l.mu.Lock()
	defer l.mu.Unlock()
	mean, deviation, high := l.demand.period(now)
	l.smooth = expect(l.smooth, mean, deviation)
	return wish{bounds: l.bounds, high: high, smooth: l.smooth}
}

// state of a level for metrics.
type state struct {
	inside, waiting, taken, limit, nominal int
}

func (l *level) state() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := state{inside: l.inside, taken: l.taken, limit: l.limit, nominal: l.bounds.nominal}
	if l.queues != nil {
		s.waiting = l.queues.len()
	}
	for _, q := range l.left {
		s.waiting += q.len()
	}
	return s
}
