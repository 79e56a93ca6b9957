package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/node/cri"
	"proa/node/image"
	"proa/node/pod"
)

// observeRetry is the pause after the runtime could not be read.
const observeRetry = time.Second

// worker owns one pod. The fields below the mailbox belong to its goroutine.
type worker struct {
	cfg  *Config
	uid  types.UID
	name string // name_namespace
	log  *slog.Logger
	done func(w *worker) // called once, when the worker has ended
	// leaving and grant are the manager's: that no source wants the pod any more,
	// and what it may have.
	leaving bool
	grant   grant
	// freed is called when the pod stops counting among those that run here.
	freed func()

	// The mailbox: functions to run in the worker's goroutine.
	mu   sync.Mutex
	mail []func()
	wake chan struct{}
	view view

	ctx context.Context
	ops sync.WaitGroup

	// desired is the newest pod, as it was granted.
	desired  *v1.Pod
	observed pod.Observed
	// stale is set when the runtime may hold something else than observed.
	stale bool
	// removed is set when no source wants the pod any more.
	removed bool
	// orphan is set for pods known only from the runtime.
	orphan bool

	setup     setupState
	resizing  resizeState
	start     time.Time
	memory    map[string]pod.Memory
	reasons   map[string]pod.Waiting
	backedOff map[string]string // container name → ID whose back-off was announced
	starting  map[string]bool
	cancels   map[*context.CancelFunc]bool // end whatever is being started
	stopping  map[string]*stopOp
	hooked    map[string]bool // container IDs whose preStop hook has run
	removing  map[string]bool
	logged    map[string]bool // containers whose log is being rotated
	inSandbox bool            // a sandbox operation is under way
	sandboxAt time.Time

	stop       *pod.Stop
	finish     *pod.Finish
	rejected   *Rejection
	conditions []v1.PodCondition
	teardown   teardownState
	// previous is the status computed last; sent is the phase last handed over,
	// and held is since when newer ones are held back.
	previous v1.PodStatus
	sent     v1.PodPhase
	held     time.Time
	gone     bool
}

func newWorker(cfg *Config, p *v1.Pod, done func(*worker)) *worker {
	w := &worker{
		cfg:       cfg,
		uid:       p.UID,
		name:      pod.FullName(p),
		log:       cfg.Log.With("pod", p.Namespace+"/"+p.Name, "uid", p.UID),
		done:      done,
		wake:      make(chan struct{}, 1),
		desired:   p,
		memory:    map[string]pod.Memory{},
		reasons:   map[string]pod.Waiting{},
		backedOff: map[string]string{},
		starting:  map[string]bool{},
		stopping:  map[string]*stopOp{},
		hooked:    map[string]bool{},
		removing:  map[string]bool{},
		logged:    map[string]bool{},
		cancels:   map[*context.CancelFunc]bool{},
		previous:  *p.Status.DeepCopy(),
	}
	w.start = time.Now()
	if t := p.Status.StartTime; t != nil {
		w.start = t.Time
	}
	w.view.pod = p
	return w
}

// post runs f in the worker's goroutine soon, and then lets it decide again.
func (w *worker) post(f func()) {
	w.mu.Lock()
	w.mail = append(w.mail, f)
	w.mu.Unlock()
	w.poke()
}

// poke makes the worker decide again.
func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run is the worker's goroutine. It returns when the pod is gone for good or ctx
// ends; operations under way have ended by then.
func (w *worker) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer w.done(w)
	defer w.ops.Wait()
	defer cancel()
	w.ctx = ctx

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		w.mu.Lock()
		mail := w.mail
		w.mail = nil
		w.mu.Unlock()
		for _, f := range mail {
			f()
		}
		next := w.step()
		if w.gone {
			return
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(max(time.Until(next), 0))
		}
	}
}

// step brings the pod one step on and returns when to look again if nothing
// happens before; zero means never.
func (w *worker) step() time.Time {
	if w.stale {
		observed, err := w.cfg.Observer.Pod(w.ctx, w.uid)
		if err != nil {
			if w.ctx.Err() == nil {
				w.log.Warn("cannot read the pod from the runtime; will retry", "error", err)
			}
			return time.Now().Add(observeRetry)
		}
		w.observed, w.stale = observed, false
		w.settle()
	}
	w.judge()

	now := time.Now()
	probes := w.syncProbes()
	plan := pod.Decide(w.input(now, probes))
	if plan.Finish != nil && w.stop == nil {
		w.finish = plan.Finish
		if w.finish.Reason != "" {
			w.cfg.Event(w.desired, "", v1.EventTypeNormal, w.finish.Reason, w.finish.Message)
		}
		w.beginStop(w.gracePeriod())
		plan = pod.Decide(w.input(now, probes))
	}
	w.noteWaiting(plan)
	wake := plan.Wake
	if w.stop == nil {
		if at := w.prepare(now); !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	} else if plan.Stopped {
		if at := w.tearDown(now); !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	if w.gone {
		return time.Time{}
	}
	w.execute(plan)
	if at := w.resize(plan, now); !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
		wake = at
	}
	if at := w.publish(now, probes); !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
		wake = at
	}
	w.prune()
	return wake
}

// input collects what the decision rests on.
func (w *worker) input(now time.Time, probes map[string]probeState) pod.Input {
	verdicts := make(map[string]pod.Verdict, len(probes))
	for id, s := range probes {
		verdicts[id] = pod.Verdict{Started: s.Started, LivenessFailed: s.LivenessFailed, StartupFailed: s.StartupFailed, Grace: s.Grace}
	}
	stopping := make(map[string]time.Time, len(w.stopping))
	for id, op := range w.stopping {
		stopping[id] = op.deadline
	}
	return pod.Input{
		Pod:            w.desired,
		Observed:       w.observed,
		Prepared:       w.setup.volumesReady,
		StartTime:      w.start,
		Verdicts:       verdicts,
		Given:          w.resizing.given,
		Room:           w.resizing.roomy(w.desired),
		Memory:         w.memory,
		SandboxRetryAt: w.sandboxAt,
		Busy:           pod.Busy{Sandbox: w.inSandbox, Starting: w.starting, Stopping: stopping, Removing: w.removing},
		Stop:           w.stop,
		Limits:         w.cfg.Limits,
		Now:            now,
	}
}

// judge turns what was heard of the pod into a stop, when it must end.
func (w *worker) judge() {
	switch {
	case w.removed && !pod.IsStatic(w.desired):
		// Whoever took it away by force has not waited for its grace period;
		// after a graceful end nothing runs any more.
		w.beginStop(pod.MinGrace)
	case w.desired.DeletionTimestamp != nil:
		w.beginStop(w.gracePeriod())
	case w.orphan:
		w.beginStop(pod.MinGrace)
	case w.removed:
		w.beginStop(w.gracePeriod())
	case w.rejected != nil:
		w.beginStop(pod.MinGrace)
	case w.finish == nil && pod.IsTerminal(w.desired):
		w.beginStop(w.gracePeriod())
	}
}

// gracePeriod is how long the pod's containers may take to end.
func (w *worker) gracePeriod() time.Duration {
	secs := int64(v1.DefaultTerminationGracePeriodSeconds)
	if s := w.desired.Spec.TerminationGracePeriodSeconds; s != nil {
		secs = *s
	}
	if s := w.desired.DeletionGracePeriodSeconds; s != nil {
		secs = *s
	}
	return time.Duration(max(secs, 1)) * time.Second
}

// beginStop ends the pod within grace. Called again it can only shorten the time.
func (w *worker) beginStop(grace time.Duration) {
	if w.stop == nil {
		w.stop = &pod.Stop{Since: time.Now(), Grace: grace}
		w.log.Info("stopping pod", "grace", grace)
	} else if grace < w.stop.Grace {
		w.stop = &pod.Stop{Since: w.stop.Since, Grace: grace}
	}
	for cancel := range w.cancels {
		(*cancel)()
	}
}

// settle updates the memory of starts from a new observation.
func (w *worker) settle() {
	for name := range w.reasons {
		// A failure to start is history once the container runs.
		if c := w.observed.Latest(name); c != nil && c.State == pod.Running {
			delete(w.reasons, name)
		}
	}
	w.followLogs()
	for id := range w.hooked {
		if c := w.observed.ByID(id); c == nil || c.State == pod.Exited {
			delete(w.hooked, id)
		}
	}
}

// followLogs hands the logs of running containers over for rotation.
func (w *worker) followLogs() {
	if w.cfg.Logs == nil {
		return
	}
	for i := range w.observed.Containers {
		switch c := &w.observed.Containers[i]; {
		case c.State == pod.Running && !w.logged[c.ID] && c.LogPath != "":
			w.logged[c.ID] = true
			w.cfg.Logs.Add(c.ID, c.LogPath)
		case c.State == pod.Exited && w.logged[c.ID]:
			delete(w.logged, c.ID)
			w.cfg.Logs.Remove(c.ID)
		}
	}
}

// noteWaiting keeps the waiting reasons of the plan, and announces a back-off
// once for each exit.
func (w *worker) noteWaiting(plan pod.Plan) {
	for name, reason := range plan.Waiting {
		w.reasons[name] = reason
		last := w.observed.Latest(name)
		if last == nil || w.backedOff[name] == last.ID {
			continue
		}
		w.backedOff[name] = last.ID
		w.cfg.Event(w.desired, image.FieldPath(w.desired, name), v1.EventTypeWarning, "BackOff",
			fmt.Sprintf("Back-off restarting failed container %s in pod %s", name, pod.Describe(w.desired)))
	}
}

// execute starts the operations of a plan.
func (w *worker) execute(plan pod.Plan) {
	var starts []pod.Action
	for _, a := range plan.Actions {
		switch a.Verb {
		case pod.CreateSandbox:
			w.createSandbox(a)
		case pod.StopSandbox:
			w.stopSandbox(a)
		case pod.StartContainer:
			starts = append(starts, a)
		case pod.StopContainer:
			w.stopContainer(a)
		case pod.RemoveContainer:
			w.removeContainer(a.ID)
		}
	}
	if len(starts) > 0 {
		w.startContainers(starts)
	}
}

// op runs f in a goroutine and then, in the worker's own, the function it returns.
func (w *worker) op(f func() func()) {
	w.ops.Go(func() { w.post(f()) })
}

// podInput is the pod as package cri wants it.
func (w *worker) podInput(attempt uint32, ips []string) cri.PodInput {
	return cri.PodInput{Node: w.cfg.Node, Pod: w.desired, IPs: ips, CgroupParent: w.setup.cgroup, Attempt: attempt, UserNamespace: w.setup.users}
}
