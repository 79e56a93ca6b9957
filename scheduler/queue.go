package scheduler

import (
	"container/heap"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Back-off of a pod after n failed attempts: firstBackoff doubled n-1 times, up
// to lastBackoff. maxWait is the longest that a pod waits for a change that
// would let it fit. All are upstream's defaults.
const (
	firstBackoff = time.Second
	lastBackoff  = 10 * time.Second
	maxWait      = 5 * time.Minute
)

// waiting is a pod in the queue.
type waiting struct {
	pod       *v1.Pod
	added     time.Time // first seen
	attempts  int
	failed    time.Time // last attempt
	refusedBy []string
	place     place
	due       time.Time // end of back-off, or of the wait for a change
	index     int       // in its heap
}

type place int

const (
	nowhere place = iota // being tried
	active
	backingOff
	unschedulable
)

func (w *waiting) priority() int32 { return priorityOf(w.pod) }

func priorityOf(pod *v1.Pod) int32 {
	if pod.Spec.Priority != nil {
		return *pod.Spec.Priority
	}
	return 0
}

// queue holds every pod that waits for a node. Owned by the loop; time comes
// in as a value.
type queue struct {
	byUID map[types.UID]*waiting
	ready readyHeap
	timed dueHeap // backing off and unschedulable
	// refusers counts the unschedulable pods that each plugin has refused; under
	// "" those that were refused by none.
	refusers map[string]int
}

func newQueue() *queue {
	return &queue{byUID: map[types.UID]*waiting{}, refusers: map[string]int{}}
}

// add takes in a pod, or a new state of one. An update may let an
// unschedulable pod fit, so it is tried again after its back-off.
func (q *queue) add(pod *v1.Pod, now time.Time) {
	w := q.byUID[pod.UID]
	if w == nil {
		w = &waiting{pod: pod, added: now}
		q.byUID[pod.UID] = w
		q.activate(w)
		return
	}
	changed := !sameDemands(w.pod, pod)
	w.pod = pod
	if changed && w.place == unschedulable {
		q.wake(w, now)
	}
}

// remove forgets a pod.
func (q *queue) remove(uid types.UID) {
	if w := q.byUID[uid]; w != nil {
		q.lift(w)
		delete(q.byUID, uid)
	}
}

// pop returns the next pod to try, or nil. The pod stays known until it is
// settled by failed, retry or remove.
func (q *queue) pop() *waiting {
	if len(q.ready) == 0 {
		return nil
	}
	w := heap.Pop(&q.ready).(*waiting)
	w.place = nowhere
	w.attempts++
	return w
}

// fitsNowhere sets a pod aside until something changes.
func (q *queue) fitsNowhere(w *waiting, refusedBy []string, now time.Time) {
	w.refusedBy, w.failed = refusedBy, now
	q.blame(w, 1)
	q.park(w, unschedulable, now.Add(maxWait))
}

// retry lets a pod come back after its back-off: its binding has failed.
func (q *queue) retry(w *waiting, now time.Time) {
	w.failed = now
	q.park(w, backingOff, now.Add(backoff(w.attempts)))
}

// changed wakes the unschedulable pods that a change may help.
func (q *queue) changed(helps func(refusedBy []string) bool, now time.Time) {
	var wake []*waiting
	for _, w := range q.timed {
		if w.place == unschedulable && helps(w.refusedBy) {
			wake = append(wake, w)
		}
	}
	for _, w := range wake {
		q.wake(w, now)
	}
}

// advance activates all pods whose time has come, and returns when the next
// one's will, or zero.
func (q *queue) advance(now time.Time) time.Time {
	for len(q.timed) > 0 && !q.timed[0].due.After(now) {
		w := heap.Pop(&q.timed).(*waiting)
		if w.place == unschedulable {
			q.blame(w, -1)
		}
		q.activate(w)
	}
	if len(q.timed) == 0 {
		return time.Time{}
	}
	return q.timed[0].due
}

func (q *queue) wake(w *waiting, now time.Time) {
	q.lift(w)
	due := w.failed.Add(backoff(w.attempts))
	if due.After(now) {
		q.park(w, backingOff, due)
	} else {
		q.activate(w)
	}
}

func (q *queue) activate(w *waiting) {
	w.place = active
	heap.Push(&q.ready, w)
}

func (q *queue) park(w *waiting, p place, due time.Time) {
	w.place, w.due = p, due
	heap.Push(&q.timed, w)
}

func (q *queue) lift(w *waiting) {
	switch w.place {
	case active:
		heap.Remove(&q.ready, w.index)
	case unschedulable:
		q.blame(w, -1)
		heap.Remove(&q.timed, w.index)
	case backingOff:
		heap.Remove(&q.timed, w.index)
	}
	w.place = nowhere
}

// blame counts who has refused an unschedulable pod.
func (q *queue) blame(w *waiting, by int) {
	add := func(name string) {
		if q.refusers[name] += by; q.refusers[name] == 0 {
			delete(q.refusers, name)
		}
	}
	if len(w.refusedBy) == 0 {
		add("")
	}
	for _, name := range w.refusedBy {
		add(name)
	}
}

func backoff(attempts int) time.Duration {
	d := firstBackoff
	for range attempts - 1 {
		if d *= 2; d >= lastBackoff {
			return lastBackoff
		}
	}
	return d
}

// sameDemands reports whether an update leaves alone all that decides where a
// pod can go.
func sameDemands(a, b *v1.Pod) bool {
	ka, errA := shapeKey(a)
	kb, errB := shapeKey(b)
	return errA == nil && errB == nil && ka == kb && sameStrings(a.Labels, b.Labels) &&
		len(a.Spec.SchedulingGates) == len(b.Spec.SchedulingGates)
}

// readyHeap orders by priority, then by age.
type readyHeap []*waiting

func (h readyHeap) Len() int { return len(h) }
func (h readyHeap) Less(i, j int) bool {
	if p, q := h[i].priority(), h[j].priority(); p != q {
		return p > q
	}
	return h[i].added.Before(h[j].added)
}
func (h readyHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *readyHeap) Push(x any)   { w := x.(*waiting); w.index = len(*h); *h = append(*h, w) }
func (h *readyHeap) Pop() any     { return popLast((*[]*waiting)(h)) }

// dueHeap orders by due time.
type dueHeap []*waiting

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *dueHeap) Push(x any)        { w := x.(*waiting); w.index = len(*h); *h = append(*h, w) }
func (h *dueHeap) Pop() any          { return popLast((*[]*waiting)(h)) }

func popLast(s *[]*waiting) *waiting {
	n := len(*s) - 1
	w := (*s)[n]
	(*s)[n] = nil
	*s = (*s)[:n]
	return w
}
