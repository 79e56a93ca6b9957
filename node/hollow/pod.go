package hollow

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/admit"
	"proa/node/pod"
	"proa/node/status"
)

// life is what a node remembers of a pod. The API keeps times to the second
// only, and may not know yet.
type life struct {
	seen     time.Time // accepted; zero before
	started  time.Time // its containers run since; zero before
	stopping time.Time // told to end; zero before
	ended    time.Time // nothing runs any more; zero before
	// finish is why it did not run at all.
	finish *pod.Finish
	slot   int // its address, -1 for none
}

// runs reports whether the containers run.
func (l *life) runs() bool { return !l.started.IsZero() && l.ended.IsZero() }

// place is the node that a pod is on.
type place struct {
	address string // of the node
	podIP   string // of this pod; empty where it has none of its own
	timing  Timing
}

// podPlan is what one look at a pod leads to.
type podPlan struct {
	life life
	// write is the pod with the status that it should have, nil where it has.
	write *v1.Pod
	// remove: it has ended and said so, and may be deleted for good.
	remove bool
	// next is when time alone will change the plan, or zero.
	next time.Time
}

// accept begins a life. A pod whose containers run already by its status was
// started by the process before this one, and goes on.
func accept(p *v1.Pod, refused *admit.Rejection, now time.Time) life {
	l := life{seen: now, slot: -1}
	switch {
	case terminal(p):
		l.ended = now
	case running(p) != nil:
		l.started = running(p).StartedAt.Time
	case refused != nil:
		l.ended = now
		l.finish = &pod.Finish{Reason: refused.Reason, Message: "Pod was rejected: " + refused.Message}
	}
	return l
}

// running returns the state of the first container that runs, or nil.
func running(p *v1.Pod) *v1.ContainerStateRunning {
	for i := range p.Status.ContainerStatuses {
		if r := p.Status.ContainerStatuses[i].State.Running; r != nil {
			return r
		}
	}
	return nil
}

func terminal(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// decidePod says what becomes of a pod that was accepted.
func decidePod(p *v1.Pod, l life, at place, now time.Time) podPlan {
	l, next := advance(p, l, at.timing, now)
	plan := podPlan{life: l, next: next}
	if terminal(p) && !l.ended.IsZero() {
		// Its end is told, and is final.
		plan.remove = p.DeletionTimestamp != nil
		return plan
	}
	readyAt := l.started.Add(at.timing.Ready)
	ready := l.runs() && !readyAt.After(now)
	if l.runs() && !ready {
		plan.next = earlier(plan.next, readyAt)
	}
	plan.write = status.Apply(p, generate(p, l, at, ready, now))
	plan.remove = plan.write == nil && p.DeletionTimestamp != nil && !l.ended.IsZero()
	return plan
}

// advance lets time pass. It returns the moment of the next change.
func advance(p *v1.Pod, l life, t Timing, now time.Time) (life, time.Time) {
	if !l.ended.IsZero() {
		return l, time.Time{}
	}
	if terminal(p) {
		// Somebody else has ended it: an eviction, or the garbage collector.
		l.ended = now
		return l, time.Time{}
	}
	if p.DeletionTimestamp != nil {
		return stop(p, l, t, now)
	}
	if l.started.IsZero() {
		begin := l.seen.Add(t.Start)
		if begin.After(now) {
			return l, begin
		}
		l.started = now
	}
	if !runsOut(p) {
		return l, time.Time{}
	}
	end := l.started.Add(t.Run)
	if end.After(now) {
		return l, end
	}
	l.ended = now
	return l, time.Time{}
}

// stop ends a pod that is deleted: at once where nothing runs.
func stop(p *v1.Pod, l life, t Timing, now time.Time) (life, time.Time) {
	if l.started.IsZero() {
		l.ended = now
		return l, time.Time{}
	}
	if l.stopping.IsZero() {
		l.stopping = now
	}
	end := earlier(l.stopping.Add(t.Stop), p.DeletionTimestamp.Time)
	if end.After(now) {
		return l, end
	}
	l.ended = now
	return l, time.Time{}
}

// earlier of two moments, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// runtimeName prefixes container IDs.
const runtimeName = "hollow"

// generate makes the status that a real node would make if it saw such
// containers.
func generate(p *v1.Pod, l life, at place, ready bool, now time.Time) v1.PodStatus {
	in := status.Input{
		Pod: p, Previous: p.Status, Observed: observe(p, l, at), Prepared: !l.started.IsZero(),
		Stopping: !l.stopping.IsZero(), Stopped: !l.ended.IsZero() && (p.DeletionTimestamp != nil || l.finish != nil), Finish: l.finish,
		HostIPs: []string{at.address}, Runtime: runtimeName, StartTime: l.seen, Now: now,
	}
	if p.Status.StartTime != nil {
		in.StartTime = p.Status.StartTime.Time
	}
	if l.runs() {
		in.Probes = make(map[string]status.Probe, len(in.Observed.Containers))
		for i := range in.Observed.Containers {
			in.Probes[in.Observed.Containers[i].ID] = status.Probe{Started: true, Ready: ready}
		}
	}
	return status.Generate(in)
}

// observe invents what a runtime would report: nothing before the start, then
// init containers that are done and all others running, and at last all ended
// well.
func observe(p *v1.Pod, l life, at place) pod.Observed {
	if l.started.IsZero() {
		return pod.Observed{}
	}
	sandbox := pod.Sandbox{ID: string(p.UID), Ready: l.runs(), HostNetwork: p.Spec.HostNetwork, CreatedAt: l.started}
	if !p.Spec.HostNetwork && at.podIP != "" {
		sandbox.IPs = []string{at.podIP}
	}
	o := pod.Observed{Sandboxes: []pod.Sandbox{sandbox}}
	add := func(c *v1.Container, done bool) {
		x := pod.Container{
			ID: string(p.UID) + "." + c.Name, Name: c.Name, SandboxID: sandbox.ID, State: pod.Running,
			Image: c.Image, ImageRef: c.Image, ImageID: c.Image, CreatedAt: l.started, StartedAt: l.started,
		}
		if done {
			x.State, x.FinishedAt, x.Reason = pod.Exited, l.started, "Completed"
		}
		if !l.ended.IsZero() {
			x.State, x.FinishedAt, x.Reason = pod.Exited, l.ended, "Completed"
		}
		o.Containers = append(o.Containers, x)
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		add(c, !pod.IsSidecar(c))
	}
	for i := range p.Spec.Containers {
		add(&p.Spec.Containers[i], false)
	}
	return o
}
