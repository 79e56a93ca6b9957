package worker

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/cri"
	"proa/node/observe"
	"proa/node/pod"
)

// Delays between attempts to make a sandbox, and the pause before an operation
// that failed in the runtime is tried again.
const (
	sandboxRetry = 2 * time.Second
	failureHold  = time.Second
)

// createSandbox makes the pod's sandbox as soon as the ground is laid.
func (w *worker) createSandbox(a pod.Action) {
	if !w.setup.ground {
		return
	}
	w.inSandbox = true
	in, p := w.podInput(a.Attempt, nil), w.desired
	ctx, cancel := context.WithCancel(w.ctx)
	done := w.onStop(cancel)
	w.op(func() func() {
		defer cancel()
		err := w.runSandbox(ctx, in)
		return func() {
			done()
			w.inSandbox, w.stale = false, true
			if err == nil {
				w.sandboxAt = time.Time{}
				return
			}
			w.sandboxAt = time.Now().Add(sandboxRetry)
			if w.stop != nil {
				return
			}
			w.log.Warn("cannot create the pod sandbox; will retry", "error", err, "in", sandboxRetry)
			w.cfg.Event(p, "", v1.EventTypeWarning, "FailedCreatePodSandBox", fmt.Sprintf("Failed to create pod sandbox: %v", err))
		}
	})
}

// runSandbox configures and runs one sandbox.
func (w *worker) runSandbox(ctx context.Context, in cri.PodInput) error {
	config, warnings, err := cri.SandboxConfig(in)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		w.cfg.Event(in.Pod, "", v1.EventTypeWarning, warning.Reason, warning.Message)
	}
	handler := ""
	if w.cfg.Handler != nil {
		if handler, err = w.cfg.Handler(ctx, in.Pod); err != nil {
			return err
		}
	}
	_, err = w.cfg.Runtime.RunPodSandbox(ctx, config, handler)
	return err
}

// stopSandbox stops one sandbox; it blocks further sandbox operations meanwhile.
func (w *worker) stopSandbox(a pod.Action) {
	w.inSandbox = true
	w.op(func() func() {
		err := w.cfg.Runtime.StopPodSandbox(w.ctx, a.ID)
		if err != nil && w.ctx.Err() == nil && !observe.IsNotFound(err) {
			w.log.Warn("cannot stop the pod sandbox; will retry", "sandbox", a.ID, "error", err)
			w.hold()
		}
		return func() { w.inSandbox, w.stale = false, true }
	})
}

// hold pauses an operation that failed, so that it is not repeated at once.
func (w *worker) hold() {
	select {
	case <-w.ctx.Done():
	case <-time.After(failureHold):
	}
}
