package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/pod"
	"proa/node/resize"
)

// resizeRetry is the pause before a resize that failed is tried again.
const resizeRetry = 10 * time.Second

// resizeState is how far a pod has what it was granted.
type resizeState struct {
	// given is what the runtime was last told of the containers.
	given resize.Granted
	// room is the pod as its cgroup is limited, nil before it is made.
	room *v1.Pod
	// recorded is set once the pod has a record, which is then kept up.
	recorded bool
	running  bool
	retryAt  time.Time
	// pending and progress are the pod's conditions, or nil.
	pending, progress *v1.PodCondition
}

func newResizeState(p *v1.Pod, known remembered) resizeState {
	s := resizeState{given: known.Given, recorded: known.recorded}
	for i := range p.Status.Conditions {
		switch c := p.Status.Conditions[i]; c.Type {
		case v1.PodResizePending:
			s.pending = &c
		case v1.PodResizeInProgress:
			s.progress = &c
		}
	}
	return s
}

func (s *resizeState) conditions() []v1.PodCondition {
	var out []v1.PodCondition
	for _, c := range []*v1.PodCondition{s.pending, s.progress} {
		if c != nil {
			out = append(out, *c)
		}
	}
	return out
}

// roomy tells whether the pod's cgroup has room for what was granted.
func (s *resizeState) roomy(granted *v1.Pod) bool {
	return s.room != nil && resize.Same(s.room, resize.Ceiling(granted, s.given))
}

// resizeGranted is told that the pod, which has just been updated, got other
// resources.
func (w *worker) resizeGranted() {
	s := &w.resizing
	w.forgetEnded()
	s.pending, s.retryAt, s.recorded = nil, time.Time{}, true
	s.progress = resizeCondition(v1.PodResizeInProgress, "", "", w.desired.Generation)
	w.recordResources()
	w.cfg.Event(w.desired, "", v1.EventTypeNormal, "ResizeStarted", resizeMessage("Pod resize started", w.desired, w.desired.Generation, ""))
}

// resizeRefused is told that the pod does not get what it wants now, and why, or
// that it wants nothing that it has not got.
func (w *worker) resizeRefused(wanted *v1.Pod, r *Rejection) {
	s := &w.resizing
	if r == nil {
		s.pending = nil
		return
	}
	generation := wanted.Generation
	known := s.pending != nil && s.pending.ObservedGeneration == generation
	s.pending = resizeCondition(v1.PodResizePending, v1.PodReasonDeferred, r.Message, generation)
	if !known {
		s.recorded = true
		w.recordResources()
		w.cfg.Event(w.desired, "", v1.EventTypeWarning, "ResizeDeferred",
			resizeMessage("Pod resize Deferred", wanted, generation, r.Message))
	}
}

func resizeCondition(t v1.PodConditionType, reason, message string, generation int64) *v1.PodCondition {
	return &v1.PodCondition{Type: t, Status: v1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: generation}
}

// recordResources keeps what the pod was granted and given for the next agent.
// Without, the pod's status has to tell.
func (w *worker) recordResources() {
	if !w.resizing.recorded {
		return
	}
	records := resize.Records{Root: w.cfg.Node.Root}
	if err := records.Write(w.uid, resize.Record{Granted: resize.Of(w.desired), Given: w.resizing.given}); err != nil {
		w.log.Warn("cannot record the pod's resources", "error", err)
	}
}

// startsWith notes what a container that is about to start is given.
func (w *worker) startsWith(name string) {
	if c, kind := pod.Find(w.desired, name); c != nil && kind != pod.Ephemeral {
		w.resizing.given = w.resizing.given.With(name, c.Resources)
		w.recordResources()
	}
}

// forgetEnded lets go of what init containers have that do not run: they hold
// nothing, and one that has succeeded will never be given anything else.
func (w *worker) forgetEnded() {
	for i := range w.desired.Spec.InitContainers {
		c := &w.desired.Spec.InitContainers[i]
		if pod.IsSidecar(c) || !w.resizing.given.Differs(w.desired, c.Name) {
			continue
		}
		if !slices.ContainsFunc(w.observed.Containers, func(o pod.Container) bool { return o.Name == c.Name && o.State == pod.Running }) {
			w.resizing.given = w.resizing.given.With(c.Name, c.Resources)
		}
	}
}

// resize brings the running containers and the pod's cgroup to what was granted,
// and returns when a failed attempt is due again.
func (w *worker) resize(plan pod.Plan, now time.Time) time.Time {
	s := &w.resizing
	if w.stop != nil || s.running || w.setup.running || s.room == nil || w.setup.of != w.desired {
		return time.Time{}
	}
	w.forgetEnded()
	if len(plan.Resize) == 0 && resize.Same(s.room, w.desired) {
		w.resized()
		return time.Time{}
	}
	if s.progress == nil {
		s.progress = resizeCondition(v1.PodResizeInProgress, "", "", w.desired.Generation)
	}
	room := resize.Ceiling(w.desired, s.given)
	if len(plan.Resize) == 0 && resize.Same(s.room, room) {
		return time.Time{} // containers that restart for it are on their way
	}
	if now.Before(s.retryAt) {
		return s.retryAt
	}
	r := resizing{w: w, granted: w.desired, given: s.given, room: s.room, running: map[string]string{}}
	for _, name := range plan.Resize {
		r.names = append(r.names, name)
	}
	for i := range w.observed.Containers {
		if c := &w.observed.Containers[i]; c.State == pod.Running {
			r.running[c.Name] = c.ID
		}
	}
	s.running = true
	ctx, cancel := context.WithCancel(w.ctx)
	done := w.onStop(cancel)
	w.op(func() func() {
		defer cancel()
		err := r.run(ctx)
		return func() {
			done()
			w.resizeDone(&r, err)
		}
	})
	return time.Time{}
}

// resizeDone takes over what an attempt has achieved.
func (w *worker) resizeDone(r *resizing, err error) {
	s := &w.resizing
	s.running, s.room = false, r.room
	for _, name := range r.changed {
		c, _ := pod.Find(r.granted, name)
		s.given = s.given.With(name, c.Resources)
		w.stale = true
	}
	if err == nil {
		s.given = s.given.WithPod(r.granted.Spec.Resources)
	}
	w.recordResources()
	if err == nil || w.stop != nil || w.ctx.Err() != nil {
		return
	}
	s.retryAt = time.Now().Add(resizeRetry)
	w.log.Warn("pod resize failed; will retry", "error", err, "in", resizeRetry)
	if c := s.progress; c != nil && (c.Reason != v1.PodReasonError || c.Message != err.Error()) {
		s.progress = resizeCondition(v1.PodResizeInProgress, v1.PodReasonError, err.Error(), c.ObservedGeneration)
		w.cfg.Event(w.desired, "", v1.EventTypeWarning, "ResizeError",
			resizeMessage("Pod resize error", w.desired, c.ObservedGeneration, err.Error()))
	}
}

// resized tells that the pod has what it was granted, once.
func (w *worker) resized() {
	s := &w.resizing
	if s.progress == nil || !w.setup.volumesReady {
		return
	}
	generation := s.progress.ObservedGeneration
	s.progress = nil
	w.cfg.Event(w.desired, "", v1.EventTypeNormal, "ResizeCompleted", resizeMessage("Pod resize completed", w.desired, generation, ""))
}

// resizing is one attempt, in a goroutine of its own.
type resizing struct {
	w       *worker
	granted *v1.Pod
	given   resize.Granted
	room    *v1.Pod // moves with the pod's cgroup
	names   []string
	running map[string]string // container name → ID
	changed []string          // grows
}

// run makes room for the containers as they were and as they shall be, changes
// them, and takes away the room that none needs any more.
func (r *resizing) run(ctx context.Context) error {
	if err := r.check(ctx); err != nil {
		return err
	}
	if err := r.limitPod(); err != nil {
		return err
	}
	for _, name := range r.names {
		c, _ := pod.Find(r.granted, name)
		linux := cri.Resources(cri.ContainerInput{PodInput: cri.PodInput{Node: r.w.cfg.Node, Pod: r.granted}, Container: c})
		if err := r.w.cfg.Runtime.UpdateContainerResources(ctx, r.running[name], &runtimeapi.ContainerResources{Linux: linux}); err != nil {
			return fmt.Errorf("update resources of container %q: %w", name, err)
		}
		r.given = r.given.With(name, c.Resources)
		r.changed = append(r.changed, name)
	}
	r.given = r.given.WithPod(r.granted.Spec.Resources)
	return r.limitPod()
}

// limitPod limits the pod's cgroup to what it was granted and its containers have.
func (r *resizing) limitPod() error {
	room := resize.Ceiling(r.granted, r.given)
	if resize.Same(room, r.room) {
		return nil
	}
	if _, err := r.w.cfg.Cgroups.EnsurePod(room); err != nil {
		return fmt.Errorf("resize the pod's cgroup: %w", err)
	}
	r.room = room
	return nil
}

// check refuses limits on memory below what is in use.
func (r *resizing) check(ctx context.Context) error {
	lowered, whole := r.given.Lowered(r.room, r.granted, r.names)
	if len(lowered) == 0 && !whole {
		return nil
	}
	usage := resize.Usage{Containers: map[string]uint64{}}
	if whole {
		var err error
		if usage.Pod, err = r.w.cfg.Cgroups.MemoryUsage(r.granted); err != nil {
			return fmt.Errorf("unable to read memory usage for pod %q: %w", pod.Describe(r.granted), err)
		}
	}
	for _, name := range lowered {
		stats, err := r.w.cfg.Runtime.ContainerStats(ctx, r.running[name])
		if err != nil {
			return fmt.Errorf("unable to read memory usage for container %q: %w", name, err)
		}
		usage.Containers[name] = stats.GetMemory().GetUsageBytes().GetValue()
	}
	return resize.TooSmall(r.granted, lowered, whole, usage)
}

// resizeMessage is the text of an event about a resize, in upstream's form.
func resizeMessage(what string, p *v1.Pod, generation int64, problem string) string {
	type container struct {
		Name      string                  `json:"name"`
		Resources v1.ResourceRequirements `json:"resources,omitempty"`
	}
	list := func(cs []v1.Container) []container {
		var out []container
		for i := range cs {
			out = append(out, container{cs[i].Name, cs[i].Resources})
		}
		return out
	}
	b, err := json.Marshal(struct {
		InitContainers []container `json:"initContainers,omitempty"`
		Containers     []container `json:"containers,omitempty"`
		Generation     int64       `json:"generation"`
		Error          string      `json:"error,omitempty"`
	}{list(p.Spec.InitContainers), list(p.Spec.Containers), generation, problem})
	if err != nil {
		return what
	}
	return what + ": " + string(b)
}
