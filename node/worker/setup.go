package worker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/resize"
)

// hook is one thing that surrounds the containers of a pod.
type hook struct {
	name string
	// setup makes it. It runs before every set-up of a sandbox or container that
	// needs it and must be idempotent. It must not keep the job.
	setup func(w *worker, ctx context.Context, j *job) error
	// teardown takes it away once no container is left; idempotent, and no error
	// when there is nothing to do.
	teardown func(w *worker, ctx context.Context, p *v1.Pod) error
	// beside is set on hooks that the sandbox does not wait for.
	beside bool
}

// hooks is the list, in the order of set-up; teardown goes from the end to the
// beginning. Admission comes before any of them, in Manager.Set.
func hooks() []hook {
	return []hook{
		{name: "directories", setup: setupDirectories},
		{name: "cgroup", setup: setupCgroup, teardown: func(w *worker, _ context.Context, p *v1.Pod) error { return w.cfg.Cgroups.RemovePod(p.UID) }},
		{name: "objects", setup: setupObjects, teardown: teardownObjects},
		{name: "user namespace", setup: setupUserNamespace, teardown: teardownUserNamespace},
		{name: "volumes", setup: setupVolumes, beside: true, teardown: func(w *worker, ctx context.Context, p *v1.Pod) error { return w.cfg.Volumes.TearDown(ctx, p.UID) }},
	}
}

// job carries one run of the hooks.
type job struct {
	pod *v1.Pod
	// room is the pod as its cgroup shall be limited.
	room    *v1.Pod
	cgroup  string
	users   *runtimeapi.UserNamespace
	volumes map[string]cri.Volume
}

// setupState is how far the hooks have come for the newest pod.
type setupState struct {
	running bool
	// ground is true once a sandbox may be made, volumesReady once containers may.
	ground       bool
	volumesReady bool
	cgroup       string
	users        *runtimeapi.UserNamespace
	volumes      map[string]cri.Volume
	// of is the pod the last finished run was for.
	of      *v1.Pod
	retryAt time.Time
	delay   time.Duration
}

// Delays between attempts to set a pod up.
const (
	setupDelayMin = 500 * time.Millisecond
	setupDelayMax = 2*time.Minute + 2*time.Second
)

func setupDirectories(w *worker, _ context.Context, j *job) error {
	for _, dir := range []string{
		cri.PodDir(w.cfg.Node.Root, j.pod.UID),
		cri.PodLogDir(w.cfg.Node.PodLogs, j.pod.Namespace, j.pod.Name, j.pod.UID),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, sub := range []string{"volumes", "plugins"} {
		if err := os.MkdirAll(filepath.Join(cri.PodDir(w.cfg.Node.Root, j.pod.UID), sub), 0o750); err != nil {
			return err
		}
	}
	return nil
}

func setupCgroup(w *worker, _ context.Context, j *job) (err error) {
	j.cgroup, err = w.cfg.Cgroups.EnsurePod(j.room)
	return err
}

func setupObjects(w *worker, _ context.Context, j *job) error {
	if w.cfg.Objects != nil {
		w.cfg.Objects.Register(j.pod)
	}
	return nil
}

func teardownObjects(w *worker, _ context.Context, p *v1.Pod) error {
	if w.cfg.Objects != nil {
		w.cfg.Objects.Unregister(p.UID)
	}
	return nil
}

func setupUserNamespace(w *worker, _ context.Context, j *job) (err error) {
	if w.cfg.UserNamespaces != nil {
		j.users, err = w.cfg.UserNamespaces.Ensure(j.pod)
	}
	return err
}

// teardownUserNamespace comes after the volumes, with which the record goes.
func teardownUserNamespace(w *worker, _ context.Context, p *v1.Pod) error {
	if w.cfg.UserNamespaces != nil {
		w.cfg.UserNamespaces.Release(p.UID)
	}
	return nil
}

func setupVolumes(w *worker, ctx context.Context, j *job) (err error) {
	j.volumes, err = w.cfg.Volumes.Setup(ctx, j.pod)
	return err
}

// prepare runs the set-up hooks for the newest pod, unless they have run for it,
// and returns when a failed run is due again.
func (w *worker) prepare(now time.Time) time.Time {
	s := &w.setup
	if s.running || s.of == w.desired || w.resizing.running {
		return time.Time{}
	}
	if s.of != nil && sameGround(s.of, w.desired) {
		s.of = w.desired
		return time.Time{}
	}
	if now.Before(s.retryAt) {
		return s.retryAt
	}
	s.running = true
	j := &job{pod: w.desired, room: resize.Ceiling(w.desired, w.resizing.given)}
	ctx, cancel := context.WithCancel(w.ctx)
	stop := w.onStop(cancel)
	w.op(func() func() {
		defer cancel()
		for _, h := range hooks() {
			if h.beside {
				cgroup, users := j.cgroup, j.users
				w.post(func() { s.ground, s.cgroup, s.users = true, cgroup, users })
			}
			if err := h.setup(w, ctx, j); err != nil {
				return func() { stop(); w.setupFailed(h.name, err) }
			}
		}
		return func() {
			stop()
			s.running, s.volumesReady, s.cgroup, s.users, s.volumes = false, true, j.cgroup, j.users, j.volumes
			s.of, s.delay = j.pod, 0
			w.resizing.room = j.room
		}
	})
	return time.Time{}
}

// sameGround reports whether the hooks would do for b what they did for a. Most
// new versions of a pod differ in their status only.
func sameGround(a, b *v1.Pod) bool {
	return a.Generation == b.Generation && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

func (w *worker) setupFailed(name string, err error) {
	s := &w.setup
	s.running = false
	s.delay = min(max(2*s.delay, setupDelayMin), setupDelayMax)
	s.retryAt = time.Now().Add(s.delay)
	if w.stop != nil {
		return
	}
	w.log.Warn("pod set-up failed; will retry", "hook", name, "error", err, "in", s.delay)
	switch name {
	case "volumes": // the volume manager has recorded its own events
	case "cgroup":
		w.cfg.Event(w.desired, "", v1.EventTypeWarning, "FailedCreatePodContainer", fmt.Sprintf("unable to ensure pod container exists: %v", err))
	default:
		w.cfg.Event(w.desired, "", v1.EventTypeWarning, "Failed", fmt.Sprintf("error making pod data directories: %v", err))
	}
}

// onStop calls f when the pod begins to stop, unless the returned function is
// called first. Both run in the worker's goroutine.
func (w *worker) onStop(f context.CancelFunc) func() {
	if w.stop != nil {
		f()
		return func() {}
	}
	w.cancels[&f] = true
	return func() { delete(w.cancels, &f) }
}

// teardownState is how far the hooks have been undone.
type teardownState struct {
	running, done bool
	retryAt       time.Time
	delay         time.Duration
}

// tearDown undoes the hooks of a pod of which nothing runs, and returns when a
// failed run is due again. Afterwards the pod is over.
func (w *worker) tearDown(now time.Time) time.Time {
	t := &w.teardown
	if t.running || w.setup.running {
		return time.Time{}
	}
	if t.done {
		w.leave()
		return time.Time{}
	}
	if now.Before(t.retryAt) {
		return t.retryAt
	}
	t.running = true
	p := w.desired
	w.op(func() func() {
		list := hooks()
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].teardown == nil {
				continue
			}
			if err := list[i].teardown(w, w.ctx, p); err != nil {
				return func() {
					t.running = false
					t.delay = min(max(2*t.delay, setupDelayMin), setupDelayMax)
					t.retryAt = time.Now().Add(t.delay)
					w.log.Warn("pod teardown failed; will retry", "hook", list[i].name, "error", err, "in", t.delay)
				}
			}
		}
		return func() {
			t.running, t.done = false, true
			w.setup.volumesReady = false
		}
	})
	return time.Time{}
}
