package worker

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/image"
	"proa/node/observe"
	"proa/node/pod"
)

// stopOp is a stop under way.
type stopOp struct {
	deadline time.Time
	cancel   context.CancelFunc
}

// stopContainer ends one container: the preStop hook, the stop signal, and at the
// deadline the kill. A second call shortens the first.
func (w *worker) stopContainer(a pod.Action) {
	ctx, cancel := context.WithCancel(w.ctx)
	op := &stopOp{deadline: a.Deadline, cancel: cancel}
	if before := w.stopping[a.ID]; before != nil {
		before.cancel()
	} else {
		message := a.Message
		if message == "" {
			message = "Stopping container " + a.Name
		}
		w.cfg.Event(w.desired, image.FieldPath(w.desired, a.Name), v1.EventTypeNormal, "Killing", message)
	}
	w.stopping[a.ID] = op
	if a.Replace {
		mem := w.memory[a.Name]
		mem.Replace = a.ID
		w.memory[a.Name] = mem
	}

	p, ip := w.desired, ""
	if s := w.observed.ReadySandbox(); s != nil && len(s.IPs) > 0 {
		ip = s.IPs[0]
	}
	spec, _ := pod.Find(p, a.Name)
	hook := spec != nil && spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil && !w.hooked[a.ID]
	w.hooked[a.ID] = true
	w.op(func() func() {
		defer cancel()
		if hook {
			w.preStop(ctx, p, spec, a, ip)
		}
		if ctx.Err() == nil {
			timeout := max(time.Until(a.Deadline), pod.MinGrace)
			secs := int64((timeout + time.Second - 1) / time.Second)
			if err := w.cfg.Runtime.StopContainer(ctx, a.ID, secs); err != nil && ctx.Err() == nil && !observe.IsNotFound(err) {
				w.log.Warn("cannot stop the container; will retry", "container", a.Name, "error", err)
				w.cfg.Event(p, image.FieldPath(p, a.Name), v1.EventTypeWarning, "FailedKillPod", fmt.Sprintf("error killing container %s: %v", a.Name, err))
				w.hold()
			}
		}
		return func() {
			if w.stopping[a.ID] == op {
				delete(w.stopping, a.ID)
				w.stale = true
			}
		}
	})
}

// preStop runs the hook within the time left. It never fails the stop.
func (w *worker) preStop(ctx context.Context, p *v1.Pod, c *v1.Container, a pod.Action, ip string) {
	ctx, cancel := context.WithDeadline(ctx, a.Deadline)
	defer cancel()
	if err := w.cfg.Lifecycle.Run(ctx, p, c, a.ID, ip, c.Lifecycle.PreStop); err != nil && ctx.Err() == nil {
		w.log.Warn("preStop hook failed", "container", c.Name, "error", err)
		w.cfg.Event(p, image.FieldPath(p, c.Name), v1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
	}
}
