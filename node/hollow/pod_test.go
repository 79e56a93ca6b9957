package hollow

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/node/admit"
)

var (
	t0     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	timing = Timing{Start: 2 * time.Second, Ready: 3 * time.Second, Run: 20 * time.Second, Stop: time.Second}
)

func testPod(change func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", Generation: 1},
		Spec:       v1.PodSpec{NodeName: "n", RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "c", Image: "i"}}},
		Status:     v1.PodStatus{Phase: v1.PodPending, QOSClass: v1.PodQOSBestEffort},
	}
	if change != nil {
		change(p)
	}
	return p
}

func deletedAt(at time.Duration) func(*v1.Pod) {
	return func(p *v1.Pod) { d := metav1.NewTime(t0.Add(at)); p.DeletionTimestamp = &d }
}

func never(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever }

func TestDecidePod(t *testing.T) {
	t.Parallel()
	started := life{seen: t0, started: t0.Add(2 * time.Second)}
	stopping := started
	stopping.stopping = t0.Add(10 * time.Second)
	ended := started
	ended.ended = t0.Add(9 * time.Second)
	for _, c := range []struct {
		name   string
		pod    *v1.Pod
		life   life
		at     time.Duration
		phase  v1.PodPhase
		ready  bool
		runs   bool
		remove bool
		next   time.Duration // since t0; 0 for never
	}{
		{name: "accepted", pod: testPod(nil), life: life{seen: t0}, phase: v1.PodPending, next: 2 * time.Second},
		{name: "started", pod: testPod(nil), life: life{seen: t0}, at: 2 * time.Second, phase: v1.PodRunning, runs: true, next: 5 * time.Second},
		{name: "ready", pod: testPod(nil), life: started, at: 5 * time.Second, phase: v1.PodRunning, ready: true, runs: true},
		{name: "runs out later", pod: testPod(never), life: started, at: 5 * time.Second, phase: v1.PodRunning, ready: true, runs: true, next: 22 * time.Second},
		{name: "ran out", pod: testPod(never), life: started, at: 22 * time.Second, phase: v1.PodSucceeded},
		{name: "deleted before the start", pod: testPod(deletedAt(30 * time.Second)), life: life{seen: t0}, at: time.Second, phase: v1.PodFailed},
		{name: "told to end", pod: testPod(deletedAt(30 * time.Second)), life: started, at: 10 * time.Second, phase: v1.PodRunning, ready: true, runs: true, next: 11 * time.Second},
		{name: "has ended", pod: testPod(deletedAt(30 * time.Second)), life: stopping, at: 11 * time.Second, phase: v1.PodSucceeded},
		{name: "grace is short", pod: testPod(deletedAt(10 * time.Second)), life: started, at: 10 * time.Second, phase: v1.PodSucceeded},
		{name: "end is told", pod: testPod(func(p *v1.Pod) { deletedAt(0)(p); p.Status.Phase = v1.PodSucceeded }), life: ended, at: 12 * time.Second, remove: true},
		{name: "evicted by another", pod: testPod(func(p *v1.Pod) { p.Status.Phase = v1.PodFailed }), life: started, at: 12 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := t0.Add(c.at)
			p := decidePod(c.pod, c.life, place{address: "198.18.0.1", podIP: "240.0.0.2", timing: timing}, now)
			if p.remove != c.remove || p.life.runs() != c.runs {
				t.Errorf("remove %v, runs %v", p.remove, p.life.runs())
			}
			var next time.Duration
			if !p.next.IsZero() {
				next = p.next.Sub(t0)
			}
			if next != c.next {
				t.Errorf("next after %v, want %v", next, c.next)
			}
			if c.phase == "" {
				if p.write != nil {
					t.Errorf("writes %+v", p.write.Status)
				}
				return
			}
			if p.write == nil {
				t.Fatal("writes nothing")
			}
			ready := false
			for _, cond := range p.write.Status.Conditions {
				ready = ready || cond.Type == v1.PodReady && cond.Status == v1.ConditionTrue
			}
			if p.write.Status.Phase != c.phase || ready != c.ready {
				t.Errorf("%s, ready %v; want %s, %v", p.write.Status.Phase, ready, c.phase, c.ready)
			}
			if again := decidePod(p.write, p.life, place{address: "198.18.0.1", podIP: "240.0.0.2", timing: timing}, now); again.write != nil {
				t.Errorf("is not content with what it wrote: %+v, then %+v", p.write.Status, again.write.Status)
			}
		})
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	refused := &admit.Rejection{Reason: "OutOfcpu", Message: "too little"}
	l := accept(testPod(nil), refused, t0)
	p := decidePod(testPod(nil), l, place{timing: timing}, t0)
	if p.write == nil || p.write.Status.Phase != v1.PodFailed || p.write.Status.Reason != "OutOfcpu" || !l.started.IsZero() {
		t.Errorf("a refused pod: %+v", p.write)
	}
	running := testPod(func(p *v1.Pod) {
		p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(t0)}}}}
	})
	if l := accept(running, refused, t0.Add(time.Hour)); !l.started.Equal(t0) || l.finish != nil {
		t.Errorf("a pod that runs already does not go on: %+v", l)
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	var s slots
	seen := map[string]bool{}
	for range maxSlots {
		k, ok := s.take()
		ip := podAddress(7, k)
		if !ok || seen[ip] || slotOf(7, ip) != k || slotOf(8, ip) != -1 {
			t.Fatalf("slot %d: %s", k, ip)
		}
		seen[ip] = true
	}
	if _, ok := s.take(); ok {
		t.Error("there is no end of addresses")
	}
	s.release(100)
	if k, ok := s.take(); !ok || k != 100 {
		t.Errorf("what is given back is not given out: %d", k)
	}
}

func TestDecideNode(t *testing.T) {
	t.Parallel()
	f := DefaultMachine().facts("n", 0)
	if p := decideNode(nil, false, f, beats{}, t0); !p.register || !p.renew {
		t.Errorf("a new node: %+v", p)
	}
	n := f.object(t0)
	b := beats{renewed: t0, reported: t0}
	if p := decideNode(n, false, f, b, t0.Add(time.Second)); p.register || p.write != nil || p.renew || !p.next.Equal(t0.Add(renewInterval)) {
		t.Errorf("all is well: %+v", p)
	}
	if p := decideNode(n, false, f, b, t0.Add(renewInterval)); !p.renew {
		t.Errorf("the lease is not renewed: %+v", p)
	}
	if p := decideNode(n, true, f, b, t0.Add(5*time.Minute)); p.write == nil {
		t.Errorf("no heartbeat: %+v", p)
	}
	lost := n.DeepCopy()
	for i := range lost.Status.Conditions {
		lost.Status.Conditions[i].Status = v1.ConditionUnknown
	}
	if p := decideNode(lost, false, f, b, t0.Add(time.Minute)); p.write == nil || p.write.Status.Conditions[0].Status == v1.ConditionUnknown {
		t.Errorf("a node that was given up does not come back: %+v", p)
	}
}
