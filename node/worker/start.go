package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/image"
	"proa/node/pod"
)

// startRetry is the pause before a failed start is tried again. Image pulls have
// a back-off of their own within it.
const startRetry = 10 * time.Second

// Waiting reasons of starts, besides those of packages cri and image.
const (
	reasonPostStart = "PostStartHookError"
	reasonIsolation = "NetworkPolicyError"
)

func errNoAPI(kind, name string) error {
	return fmt.Errorf("%s %q cannot be read: this agent has no API server", kind, name)
}

// startFailure is a start that failed, as the container's status shows it.
type startFailure struct {
	pod.Waiting
}

func (f *startFailure) Error() string { return f.Reason + ": " + f.Message }

// startContainers starts containers one after another, in the order of the plan:
// a postStart hook holds back the containers after it. One that fails does not.
func (w *worker) startContainers(starts []pod.Action) {
	sandbox := w.observed.ReadySandbox()
	if sandbox == nil {
		return
	}
	in := w.podInput(sandbox.Attempt, sandbox.IPs)
	volumes := w.setup.volumes
	sandboxID := sandbox.ID
	target := map[string]string{}
	for i := range w.observed.Containers {
		if c := &w.observed.Containers[i]; c.State == pod.Running {
			target[c.Name] = c.ID
		}
	}
	now := time.Now()
	for _, a := range starts {
		w.starting[a.Name] = true
		w.startsWith(a.Name)
		mem := w.memory[a.Name]
		if last := w.observed.Latest(a.Name); last != nil && last.State == pod.Exited && mem.Replace != last.ID {
			mem.Backoff = mem.Backoff.Next(last.FinishedAt, now, w.cfg.Limits)
		}
		mem.Replace = ""
		w.memory[a.Name] = mem
	}
	fresh := !w.hasRun(sandboxID)
	ctx, cancel := context.WithCancel(w.ctx)
	done := w.onStop(cancel)
	w.op(func() func() {
		defer cancel()
		var isolated error
		if fresh {
			isolated = w.isolate(ctx, in)
		}
		for _, a := range starts {
			err := cmp.Or(isolated, ctx.Err())
			if err == nil {
				err = w.startOne(ctx, a, in, sandboxID, volumes, target)
			}
			w.post(func() { w.started(a, err) })
		}
		return done
	})
}

// hasRun tells whether a container has run in a sandbox: what it may send and
// receive is settled since before that.
func (w *worker) hasRun(sandboxID string) bool {
	for i := range w.observed.Containers {
		if c := &w.observed.Containers[i]; c.SandboxID == sandboxID && (c.State == pod.Running || c.State == pod.Exited) {
			return true
		}
	}
	return false
}

// isolate waits until network policies hold for the pod's addresses.
func (w *worker) isolate(ctx context.Context, in cri.PodInput) error {
	if w.cfg.Isolate == nil || in.Pod.Spec.HostNetwork {
		return nil
	}
	err := w.cfg.Isolate(ctx, in.Pod, in.IPs)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	w.cfg.Event(in.Pod, "", v1.EventTypeWarning, "FailedNetworkPolicy", "Error: "+err.Error())
	return &startFailure{pod.Waiting{Reason: reasonIsolation, Message: err.Error()}}
}

// started records the outcome of one start.
func (w *worker) started(a pod.Action, err error) {
	delete(w.starting, a.Name)
	w.stale = true
	mem := w.memory[a.Name]
	mem.RetryAt = time.Time{}
	var failure *startFailure
	switch {
	case err == nil:
		delete(w.reasons, a.Name)
	case errors.As(err, &failure):
		w.reasons[a.Name] = failure.Waiting
		mem.RetryAt = time.Now().Add(startRetry)
		w.log.Warn("container not started; will retry", "container", a.Name, "error", err, "in", startRetry)
	default: // cut short
	}
	w.memory[a.Name] = mem
}

// startOne pulls, creates and starts one container and runs its postStart hook.
func (w *worker) startOne(ctx context.Context, a pod.Action, in cri.PodInput, sandboxID string, volumes map[string]cri.Volume, targets map[string]string) error {
	p := in.Pod
	spec, kind := pod.Find(p, a.Name)
	if spec == nil {
		return nil // the pod has changed since the plan
	}
	path := image.FieldPath(p, a.Name)
	failed := func(reason string, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.cfg.Event(p, path, v1.EventTypeWarning, "Failed", "Error: "+err.Error())
		return &startFailure{pod.Waiting{Reason: reason, Message: err.Error()}}
	}

	sandboxConfig, _, err := cri.SandboxConfig(in)
	if err != nil {
		return failed(cri.ReasonConfigError, err)
	}
	img, err := w.cfg.Images.Ensure(ctx, w.imageRequest(ctx, p, spec, sandboxConfig))
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var ie *image.Error
		if !errors.As(err, &ie) {
			ie = &image.Error{Reason: "ErrImagePull", Message: err.Error()}
		}
		w.cfg.Event(p, path, v1.EventTypeWarning, "Failed", "Error: "+ie.Reason)
		return &startFailure{pod.Waiting{Reason: ie.Reason, Message: ie.Message}}
	}

	input := cri.ContainerInput{
		PodInput:     in,
		Container:    spec,
		RestartCount: int(a.Attempt),
		Image:        img.Ref,
		ImageUser:    img.User,
		Objects:      objectsAt{ctx, w.cfg.Objects},
		Volumes:      volumes,
	}
	if kind == pod.Ephemeral {
		input.TargetID = ephemeralTarget(p, a.Name, targets)
	}
	config, err := w.configure(ctx, input)
	if err != nil {
		var ce *cri.ConfigError
		if errors.As(err, &ce) {
			return failed(ce.Reason, err)
		}
		return failed(cri.ReasonConfigError, err)
	}
	id, err := w.cfg.Runtime.CreateContainer(ctx, sandboxID, config, sandboxConfig)
	if err != nil {
		return failed(cri.ReasonCreateContainerError, err)
	}
	w.cfg.Event(p, path, v1.EventTypeNormal, "Created", "Container created")
	w.link(p, spec.Name, id, int(a.Attempt))
	if err := w.cfg.Runtime.StartContainer(ctx, id); err != nil {
		return failed(cri.ReasonRunContainerError, err)
	}
	w.cfg.Event(p, path, v1.EventTypeNormal, "Started", "Container started")
	return w.postStart(ctx, p, spec, id, in.IPs)
}

// imageRequest asks for the container's image with the pod's pull secrets. A
// secret that cannot be read is left out: the pull says what is missing.
func (w *worker) imageRequest(ctx context.Context, p *v1.Pod, c *v1.Container, sandbox *runtimeapi.PodSandboxConfig) image.Request {
	r := image.Request{Pod: p, Container: c, Sandbox: sandbox}
	for _, ref := range p.Spec.ImagePullSecrets {
		s, err := objectsAt{ctx, w.cfg.Objects}.Secret(p.Namespace, ref.Name)
		if err != nil {
			w.cfg.Event(p, "", v1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
				fmt.Sprintf("Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", ref.Name))
			continue
		}
		r.PullSecrets = append(r.PullSecrets, s)
	}
	return r
}

// configure makes the container's CRI configuration and what it needs on disk.
func (w *worker) configure(ctx context.Context, in cri.ContainerInput) (*runtimeapi.ContainerConfig, error) {
	if w.cfg.Services != nil && (in.Pod.Spec.EnableServiceLinks == nil || *in.Pod.Spec.EnableServiceLinks) {
		services, err := w.cfg.Services(ctx, in.Pod)
		if err != nil {
			return nil, err
		}
		in.Services = services
	}
	if err := cri.MakeLogDirs(in.Node, in.Pod, in.Container.Name); err != nil {
		return nil, err
	}
	mounts, err := cri.Mounts(in)
	if err != nil {
		return nil, err
	}
	in.Mounts = mounts
	return cri.ContainerConfig(in)
}

// ephemeralTarget finds the container whose processes a debug container shares.
func ephemeralTarget(p *v1.Pod, name string, running map[string]string) string {
	for i := range p.Spec.EphemeralContainers {
		if e := &p.Spec.EphemeralContainers[i]; e.Name == name {
			return running[e.TargetContainerName]
		}
	}
	return ""
}

// link makes the symbolic link by which log collectors find a container's log.
// It is a convenience: a failure is logged and forgotten.
func (w *worker) link(p *v1.Pod, container, id string, attempt int) {
	if w.cfg.ContainerLogs == "" {
		return
	}
	name := cri.LegacyLogLink(w.cfg.ContainerLogs, id, container, p.Name, p.Namespace)
	log := cri.PodLogDir(w.cfg.Node.PodLogs, p.Namespace, p.Name, p.UID) + "/" + cri.LogPath(container, attempt)
	if err := os.Symlink(log, name); err != nil && !errors.Is(err, os.ErrExist) {
		w.log.Debug("no link to the container's log", "error", err)
	}
}

// postStart runs the container's postStart hook. If it fails, the container is
// stopped, and restarts by its policy.
func (w *worker) postStart(ctx context.Context, p *v1.Pod, c *v1.Container, id string, ips []string) error {
	if c.Lifecycle == nil || c.Lifecycle.PostStart == nil {
		return nil
	}
	// Show the container as running while the hook takes its time.
	w.post(func() { w.stale = true })
	ip := ""
	if len(ips) > 0 {
		ip = ips[0]
	}
	err := w.cfg.Lifecycle.Run(ctx, p, c, id, ip, c.Lifecycle.PostStart)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	w.log.Warn("postStart hook failed", "container", c.Name, "error", err)
	path := image.FieldPath(p, c.Name)
	w.cfg.Event(p, path, v1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
	w.cfg.Event(p, path, v1.EventTypeNormal, "Killing", "FailedPostStartHook")
	grace := int64(v1.DefaultTerminationGracePeriodSeconds)
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = *s
	}
	if err := w.cfg.Runtime.StopContainer(ctx, id, max(grace, int64(pod.MinGrace/time.Second))); err != nil && ctx.Err() == nil {
		w.log.Warn("cannot stop the container whose postStart hook failed", "container", c.Name, "error", err)
	}
	return &startFailure{pod.Waiting{Reason: reasonPostStart, Message: fmt.Sprintf("Exec lifecycle hook failed: %v", err)}}
}
