package fairness

import "time"

// queues are those of one level: they say who is next. They know neither locks
// nor clocks. Not safe for concurrent use.
type queues struct {
	// used are the queues that matter: a level may have millions.
	used    map[int]*queue
	length  int      // of each queue, at most
	waiting []*queue // those that are not empty
	// virtual is how far the level has come: where the request began that went
	// last, in seats times seconds that every busy queue has been given.
	virtual float64
}

// queue holds requests in their order.
type queue struct {
	requests []*waiter
	seats    int // that the requests will take
	// next is where the queue's next request begins: behind all that the queue
	// has used.
	next float64
}

// waiter is a request that waits, and later one that goes.
type waiter struct {
	width int
	queue *queue // nil where it did not have to wait
	start float64
	// dispatched is closed when it has its seats.
	dispatched chan struct{}
}

// guess is how long a request is taken to last before it is known, in seconds.
const guess = 0.003

func newQueues(length int) *queues { return &queues{used: map[int]*queue{}, length: length} }

// shortest is the queue of a hand in which there is least to do.
func (q *queues) shortest(hand []int) *queue {
	best := hand[0]
	for _, i := range hand {
		c := q.used[i]
		if c == nil {
			best = i
			break
		}
		if c.seats < q.used[best].seats {
			best = i
		}
	}
	if q.used[best] == nil {
		q.used[best] = &queue{}
	}
	return q.used[best]
}

// sweep forgets queues that are as good as new.
func (q *queues) sweep() {
	for i, c := range q.used {
		if len(c.requests) == 0 && c.next <= q.virtual {
			delete(q.used, i)
		}
	}
}

// push puts a request at the end of a queue, unless that is full.
func (q *queues) push(to *queue, w *waiter) bool {
	if len(to.requests) >= q.length {
		return false
	}
	if len(to.requests) == 0 {
		to.next = max(to.next, q.virtual)
		q.waiting = append(q.waiting, to)
	}
	w.queue = to
	to.requests = append(to.requests, w)
	to.seats += w.width
	return true
}

// peek is the request that is next, or nil: that of the queue which has used
// least.
func (q *queues) peek() *waiter {
	var best *queue
	for _, c := range q.waiting {
		if best == nil || c.next < best.next {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return best.requests[0]
}

// pop takes the request that peek returned.
func (q *queues) pop(w *waiter) {
	w.start = w.queue.next
	q.virtual = max(q.virtual, w.start)
	w.queue.next += float64(w.width) * guess
	q.remove(w)
}

// remove takes a request out wherever it is.
func (q *queues) remove(w *waiter) {
	from := w.queue
	for i, r := range from.requests {
		if r == w {
			copy(from.requests[i:], from.requests[i+1:])
			from.requests[len(from.requests)-1] = nil
			from.requests = from.requests[:len(from.requests)-1]
			from.seats -= w.width
			break
		}
	}
	if len(from.requests) > 0 {
		return
	}
	for i, c := range q.waiting {
		if c == from {
			last := len(q.waiting) - 1
			q.waiting[i], q.waiting[last] = q.waiting[last], nil
			q.waiting = q.waiting[:last]
			break
		}
	}
}

// done tells a queue how long a request of it has really used its seats.
func (w *waiter) done(took time.Duration) {
	if w.queue != nil {
		w.queue.next += float64(w.width) * (took.Seconds() - guess)
	}
}

// len is how many requests wait.
func (q *queues) len() int {
	n := 0
	for _, c := range q.waiting {
		n += len(c.requests)
	}
	return n
}
