package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/ptr"

	"proa/node/cri"
	"proa/node/critest"
	"proa/node/hook"
	"proa/node/image"
	"proa/node/observe"
	"proa/node/probe"
	"proa/node/worker"
)

// harness is a worker.Manager on a runtime in memory. It must be made within a
// synctest bubble.
type harness struct {
	t       *testing.T
	rt      *critest.Runtime
	workers *worker.Manager
	images  *fakeImages
	volumes *fakeVolumes
	cgroups *fakeCgroups
	dir     string // the agent's, which outlives it
	admit   func(p *v1.Pod, others []*v1.Pod) *worker.Rejection
	isolate func(ctx context.Context, p *v1.Pod, ips []string) error
	stop    func()

	mu     sync.Mutex
	events []string
	final  map[types.UID]bool
	status map[types.UID]v1.PodStatus
}

// newHarness starts an agent's pod side on the runtime. Stop it before the
// bubble ends.
func newHarness(t *testing.T, rt *critest.Runtime) *harness {
	h := &harness{t: t, rt: rt, images: &fakeImages{}, volumes: &fakeVolumes{}, cgroups: &fakeCgroups{}, dir: t.TempDir(), final: map[types.UID]bool{}, status: map[types.UID]v1.PodStatus{}}
	h.restart()
	return h
}

// restart starts a new agent on the same runtime.
func (h *harness) restart() {
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	dir := h.dir
	event := func(p *v1.Pod, _, _, reason, message string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, reason+": "+message)
	}
	probes := probe.NewManager(ctx, probe.Config{
		Checker: &probe.Dialer{Exec: h.rt, Version: "1.36"},
		Event:   func(p *v1.Pod, c, t, reason, message string) { event(p, c, t, reason, message) },
		Log:     log,
	})
	h.workers = worker.NewManager(worker.Config{
		Node:    &cri.Node{Name: "n1", Hostname: "n1", IPs: []string{"192.0.2.1"}, Root: dir, PodLogs: dir + "/logs", CPUPeriod: 100 * time.Millisecond, MemoryCapacity: 1 << 30},
		Runtime: h.rt, Observer: observe.New(h.rt, nil, log), Volumes: h.volumes, Images: h.images, Cgroups: h.cgroups,
		Statuses: h, Probes: probes, Lifecycle: &hook.Runner{Exec: h.rt, Version: "1.36"},
		Admit: func(p *v1.Pod, others []*v1.Pod) *worker.Rejection {
			if h.admit == nil {
				return nil
			}
			return h.admit(p, others)
		},
		Isolate: h.isolate, Event: event, RuntimeName: "critest", Relist: time.Minute, Log: log,
	})
	for h.workers.Start(ctx) != nil {
		time.Sleep(time.Second)
	}
	var wg sync.WaitGroup
	events := make(chan *runtimeapi.ContainerEventResponse)
	wg.Go(func() {
		_ = h.rt.GetContainerEvents(ctx, events, nil)
		close(events)
	})
	wg.Go(func() {
		for e := range events {
			if ev, ok := observe.EventOf(e); ok {
				h.workers.Notify(ev)
			}
		}
	})
	workers := h.workers
	h.stop = func() {
		cancel()
		wg.Wait()
		workers.Wait()
		probes.Wait()
	}
}

// The harness stands in for the status writer, to see finalizations.
func (h *harness) Set(uid types.UID, s v1.PodStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status[uid] = s
}

func (h *harness) Get(uid types.UID) (v1.PodStatus, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.status[uid]
	return s, ok
}

func (h *harness) Finalize(uid types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.final[uid] = true
}
func (h *harness) Forget(types.UID) {}

func (h *harness) finalized(uid types.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.final[uid]
}

// sawEvent reports whether an event whose text contains part was recorded.
func (h *harness) sawEvent(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if strings.Contains(e, part) {
			return true
		}
	}
	return false
}

// after lets d pass and all work that it causes come to rest.
func (h *harness) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want checks the runtime's contents.
func (h *harness) want(what string, lines ...string) {
	h.t.Helper()
	if got, want := h.rt.Dump(), strings.Join(lines, "\n"); got != want {
		h.t.Errorf("%s: the runtime holds\n%s\nwant\n%s", what, got, want)
	}
}

// get returns the pod's status.
func (h *harness) get(p *v1.Pod) v1.PodStatus {
	s, _ := h.Get(p.UID)
	return s
}

func (h *harness) wantPhase(p *v1.Pod, phase v1.PodPhase) {
	h.t.Helper()
	if s := h.get(p); s.Phase != phase {
		h.t.Errorf("pod %s is %s (%s %s), want %s", p.Name, s.Phase, s.Reason, s.Message, phase)
	}
}

func (h *harness) ready(p *v1.Pod) bool {
	for _, c := range h.get(p).Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

// noViolations fails the test if the runtime was treated badly.
func (h *harness) noViolations() {
	h.t.Helper()
	for _, v := range h.rt.Violations() {
		h.t.Errorf("violation: %s", v)
	}
}

// deleted returns the pod as it is after a graceful deletion was asked for.
func deleted(p *v1.Pod, grace int64) *v1.Pod {
	d := p.DeepCopy()
	d.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(time.Duration(grace) * time.Second)}
	d.DeletionGracePeriodSeconds = &grace
	d.Generation++
	return d
}

// newPod returns a pod with one container per name, of the image of that name.
func newPod(name string, containers ...string) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name)},
		Spec: v1.PodSpec{
			NodeName: "n1", RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To[int64](30),
			DNSPolicy: v1.DNSDefault, EnableServiceLinks: ptr.To(false),
		},
	}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, newContainer(c))
	}
	return p
}

func newContainer(name string) v1.Container {
	return v1.Container{Name: name, Image: name, TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: v1.TerminationMessageReadFile}
}

func sidecar(name string) v1.Container {
	c := newContainer(name)
	c.RestartPolicy = ptr.To(v1.ContainerRestartPolicyAlways)
	return c
}

// fakeImages has every image, after an optional delay, or fails.
type fakeImages struct {
	mu    sync.Mutex
	delay time.Duration
	err   error
}

func (f *fakeImages) set(delay time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay, f.err = delay, err
}

func (f *fakeImages) Ensure(ctx context.Context, r image.Request) (image.Result, error) {
	f.mu.Lock()
	delay, err := f.delay, f.err
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return image.Result{}, ctx.Err()
	case <-time.After(delay):
	}
	return image.Result{Ref: r.Container.Image}, err
}

// fakeVolumes counts pods that have volumes.
type fakeVolumes struct {
	mu   sync.Mutex
	pods map[types.UID]bool
	err  error
}

func (f *fakeVolumes) Setup(_ context.Context, p *v1.Pod) (map[string]cri.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if f.pods == nil {
		f.pods = map[types.UID]bool{}
	}
	f.pods[p.UID] = true
	return map[string]cri.Volume{}, nil
}

func (f *fakeVolumes) TearDown(_ context.Context, uid types.UID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pods, uid)
	return nil
}

func (f *fakeVolumes) setErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// fakeCgroups notes how pods are limited.
type fakeCgroups struct {
	mu    sync.Mutex
	notes []string
	used  uint64 // memory of every pod
}

func (f *fakeCgroups) note(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.notes); n == 0 || f.notes[n-1] != text {
		f.notes = append(f.notes, text)
	}
}

// take returns the notes since it was last called.
func (f *fakeCgroups) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	notes := f.notes
	f.notes = nil
	return notes
}

func (f *fakeCgroups) use(bytes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = bytes
}

func (f *fakeCgroups) EnsurePod(p *v1.Pod) (string, error) {
	limits := resourcehelper.PodLimits(p, resourcehelper.PodResourcesOptions{})
	f.note(fmt.Sprintf("pod cpu=%s memory=%s", limits.Cpu(), limits.Memory()))
	return fmt.Sprintf("/kubepods/pod%s", p.UID), nil
}

func (f *fakeCgroups) MemoryUsage(*v1.Pod) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used, nil
}

func (*fakeCgroups) RemovePod(types.UID) error { return nil }
