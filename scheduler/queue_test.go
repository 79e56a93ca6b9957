package scheduler

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func priority(n int32) func(*v1.Pod) { return func(p *v1.Pod) { p.Spec.Priority = &n } }

func popNames(q *queue) (names []string) {
	for w := q.pop(); w != nil; w = q.pop() {
		names = append(names, w.pod.Name)
	}
	return names
}

func TestQueueOrder(t *testing.T) {
	t.Parallel()
	q, now := newQueue(), time.Unix(0, 0)
	q.add(testPod("low"), now)
	q.add(testPod("second", priority(5)), now.Add(2))
	q.add(testPod("first", priority(5)), now.Add(1))
	q.add(testPod("gone", priority(9)), now)
	q.remove("gone")
	if got := popNames(q); len(got) != 3 || got[0] != "first" || got[1] != "second" || got[2] != "low" {
		t.Errorf("popped %v", got)
	}
}

func TestQueueBackoff(t *testing.T) {
	t.Parallel()
	q, now := newQueue(), time.Unix(0, 0)
	q.add(testPod("p"), now)
	any := func([]string) bool { return true }
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		w := q.pop()
		if w == nil {
			t.Fatalf("attempt %d: the pod is not ready", i+1)
		}
		q.fitsNowhere(w, []string{"NodeResourcesFit"}, now)
		if next := q.advance(now); next != now.Add(maxWait) {
			t.Fatalf("attempt %d: waits until %v", i+1, next)
		}
		q.changed(any, now)
		if next := q.advance(now); next != now.Add(want*time.Second) {
			t.Fatalf("attempt %d: backs off until %v, want %v s", i+1, next, want)
		}
		now = now.Add(want * time.Second)
		q.advance(now)
	}
	// After a long wait a change is answered at once.
	q.fitsNowhere(q.pop(), nil, now)
	now = now.Add(time.Minute)
	q.changed(any, now)
	if q.pop() == nil {
		t.Error("a pod whose back-off is over is not ready after a change")
	}
}

func TestQueueWakesOnlyThoseHelped(t *testing.T) {
	t.Parallel()
	q, now := newQueue(), time.Unix(0, 0)
	for _, name := range []string{"cpu", "taint"} {
		q.add(testPod(name), now)
		q.fitsNowhere(q.pop(), []string{name}, now)
	}
	now = now.Add(time.Minute)
	q.changed(func(by []string) bool { return by[0] == "taint" }, now)
	if got := popNames(q); len(got) != 1 || got[0] != "taint" {
		t.Errorf("woken: %v", got)
	}
	now = now.Add(maxWait)
	q.advance(now)
	if got := popNames(q); len(got) != 1 || got[0] != "cpu" {
		t.Errorf("after the longest wait: %v", got)
	}
}
