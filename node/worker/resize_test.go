package worker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"proa/node/critest"
	"proa/node/worker"
)

// sized gives all of a pod's containers the same requests and limits.
func sized(p *v1.Pod, cpu, memory string) *v1.Pod {
	p = p.DeepCopy()
	p.Generation++
	for i := range p.Spec.Containers {
		l := v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory)}
		p.Spec.Containers[i].Resources = v1.ResourceRequirements{Requests: l, Limits: l.DeepCopy()}
	}
	return p
}

// notes has the runtime's updates of containers noted beside what is written to
// the pods' cgroups.
func (h *harness) noteResizes() {
	h.rt.Fail(func(call string) error {
		if strings.HasPrefix(call, "UpdateContainerResources") {
			h.cgroups.note(call)
		}
		return nil
	})
}

func (h *harness) resizeCondition(p *v1.Pod, t v1.PodConditionType) *v1.PodCondition {
	for _, c := range h.get(p).Conditions {
		if c.Type == t {
			return &c
		}
	}
	return nil
}

func (h *harness) wantNotes(what string, want ...string) {
	h.t.Helper()
	if got := h.cgroups.take(); !slices.Equal(got, want) {
		h.t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// wantHas checks what the first container's status says it has, as CPU limit, and
// what it is granted, as CPU request.
func (h *harness) wantHas(what string, p *v1.Pod, has, granted string) {
	h.t.Helper()
	s := h.get(p)
	if len(s.ContainerStatuses) == 0 || s.ContainerStatuses[0].Resources == nil {
		h.t.Errorf("%s: no resources in %+v", what, s.ContainerStatuses)
		return
	}
	c := s.ContainerStatuses[0]
	if got := c.Resources.Limits.Cpu().String(); got != has {
		h.t.Errorf("%s: the container has a CPU limit of %s, want %s", what, got, has)
	}
	if got := c.AllocatedResources.Cpu().String(); got != granted {
		h.t.Errorf("%s: the container is granted %s of CPU, want %s", what, got, granted)
	}
}

// A pod's cgroup is raised before its containers are, and lowered after them; no
// container restarts.
func TestResizeInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"a": {}, "b": {}}))
		defer h.stop()
		h.noteResizes()
		p := sized(newPod("web", "a", "b"), "1", "100Mi")
		h.workers.Set(p)
		synctest.Wait()
		h.wantNotes("at the start", "pod cpu=2 memory=200Mi")
		h.wantHas("at the start", p, "1", "1")

		up := sized(p, "2", "200Mi")
		h.workers.Set(up)
		synctest.Wait()
		h.wantNotes("raised", "pod cpu=4 memory=400Mi",
			"UpdateContainerResources a#0 shares=2048 quota=200000 memory=209715200",
			"UpdateContainerResources b#0 shares=2048 quota=200000 memory=209715200")
		h.wantHas("raised", p, "2", "2")

		// One up, one down: room for both on the way.
		mixed := sized(up, "3", "50Mi")
		h.workers.Set(mixed)
		synctest.Wait()
		h.wantNotes("mixed", "pod cpu=6 memory=400Mi",
			"UpdateContainerResources a#0 shares=3072 quota=300000 memory=52428800",
			"UpdateContainerResources b#0 shares=3072 quota=300000 memory=52428800",
			"pod cpu=6 memory=100Mi")
		h.wantHas("mixed", p, "3", "3")
		if h.get(p).ObservedGeneration != mixed.Generation {
			t.Errorf("observed generation %d", h.get(p).ObservedGeneration)
		}
		for _, c := range []v1.PodConditionType{v1.PodResizePending, v1.PodResizeInProgress} {
			if got := h.resizeCondition(p, c); got != nil {
				t.Errorf("condition left: %+v", got)
			}
		}
		if !h.sawEvent("ResizeStarted: Pod resize started: {") || !h.sawEvent(`ResizeCompleted: Pod resize completed: {"containers":[{"name":"a","resources":{"limits":{"cpu":"3"`) {
			t.Errorf("events: %q", h.events)
		}
		h.want("after all", "container a#0 running code=0", "container b#0 running code=0", "sandbox web#0 ready=true")
		h.noViolations()
	})
}

// An init container is resized while it runs. Once it has ended it holds nothing: the
// pod shrinks to what is left, and no resize stays in progress for it.
func TestResizeInitContainers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"init": {Runs: time.Minute}, "a": {}}))
		defer h.stop()
		h.noteResizes()
		p := sized(newPod("web", "a"), "1", "100Mi")
		p.Spec.InitContainers = []v1.Container{newContainer("init")}
		initSized := func(p *v1.Pod, cpu string) *v1.Pod {
			p = p.DeepCopy()
			p.Generation++
			l := v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse("100Mi")}
			p.Spec.InitContainers[0].Resources = v1.ResourceRequirements{Requests: l, Limits: l.DeepCopy()}
			return p
		}
		p = initSized(p, "2")
		h.workers.Set(p)
		synctest.Wait()
		h.wantNotes("at the start", "pod cpu=2 memory=100Mi")
		up := initSized(p, "3")
		h.workers.Set(up)
		synctest.Wait()
		h.wantNotes("raised", "pod cpu=3 memory=100Mi", "UpdateContainerResources init#0 shares=3072 quota=300000 memory=104857600")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		down := initSized(up, "1")
		h.workers.Set(down)
		synctest.Wait()
		h.wantNotes("lowered after its end", "pod cpu=1 memory=100Mi")
		for _, c := range []v1.PodConditionType{v1.PodResizePending, v1.PodResizeInProgress} {
			if got := h.resizeCondition(p, c); got != nil {
				t.Errorf("condition left: %+v", got)
			}
		}
		h.want("after all", "container a#0 running code=0", "container init#0 exited code=0", "sandbox web#0 ready=true")
		h.noViolations()
	})
}

// A container whose policy says so gets its new resources with a new start, whatever
// the pod's restart policy is.
func TestResizeRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"a": {Stops: time.Second}, "b": {}}))
		defer h.stop()
		h.noteResizes()
		p := newPod("web", "a", "b")
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		p.Spec.Containers[0].ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceMemory, RestartPolicy: v1.RestartContainer}}
		p = sized(p, "2", "100Mi")
		h.workers.Set(p)
		synctest.Wait()
		h.cgroups.take()

		h.workers.Set(sized(p, "2", "50Mi"))
		synctest.Wait()
		if c := h.resizeCondition(p, v1.PodResizeInProgress); c == nil || c.ObservedGeneration != p.Generation+1 {
			t.Errorf("while a stops: %+v", c)
		}
		h.after(5 * time.Second)
		h.want("after the resize", "container a#0 exited code=0", "container a#1 running code=0", "container b#0 running code=0", "sandbox web#0 ready=true")
		h.wantNotes("lowered", "pod cpu=4 memory=200Mi", "UpdateContainerResources b#0 shares=2048 quota=200000 memory=52428800", "pod cpu=4 memory=150Mi", "pod cpu=4 memory=100Mi")
		if c := h.resizeCondition(p, v1.PodResizeInProgress); c != nil {
			t.Errorf("condition left: %+v", c)
		}
		h.noViolations()
	})
}

// room admits pods with up to so much CPU together.
func room(cpu string) func(p *v1.Pod, others []*v1.Pod) *worker.Rejection {
	limit := resource.MustParse(cpu)
	return func(p *v1.Pod, others []*v1.Pod) *worker.Rejection {
		sum := resource.Quantity{}
		for _, p := range append(others, p) {
			for _, c := range p.Spec.Containers {
				sum.Add(*c.Resources.Requests.Cpu())
			}
		}
		if sum.Cmp(limit) > 0 {
			return &worker.Rejection{Reason: "OutOfcpu", Message: "Node didn't have enough resource: cpu"}
		}
		return nil
	}
}

// What does not fit waits, in order, runs as it was meanwhile, and gets what it
// wants once others have gone or want less.
func TestResizeDeferred(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"a": {}}))
		defer h.stop()
		h.admit = room("4")
		low, high, third := sized(newPod("low", "a"), "1", "10Mi"), sized(newPod("high", "a"), "1", "10Mi"), sized(newPod("third", "a"), "2", "10Mi")
		high.Spec.Priority = ptr.To[int32](10)
		for _, p := range []*v1.Pod{low, high, third} {
			h.workers.Set(p)
		}
		synctest.Wait()

		h.workers.Set(sized(low, "2", "10Mi"))
		h.after(time.Second)
		h.workers.Set(sized(high, "2", "10Mi"))
		synctest.Wait()
		for _, p := range []*v1.Pod{low, high} {
			c := h.resizeCondition(p, v1.PodResizePending)
			if c == nil || c.Reason != v1.PodReasonDeferred || c.Message != "Node didn't have enough resource: cpu" || c.ObservedGeneration != p.Generation+1 {
				t.Errorf("%s: %+v", p.Name, c)
			}
			h.wantHas("put off", p, "1", "1")
		}
		if !h.sawEvent("ResizeDeferred: Pod resize Deferred: {") {
			t.Errorf("events: %q", h.events)
		}

		// Room for one: that of higher priority gets it, though it asked later.
		h.workers.Set(sized(third, "1", "10Mi"))
		synctest.Wait()
		h.wantHas("higher priority", high, "2", "2")
		h.wantHas("lower priority", low, "1", "1")

		h.workers.Set(deleted(third, 1))
		h.after(3 * time.Second)
		h.workers.Remove(third.UID)
		synctest.Wait()
		h.wantHas("after the end of another", low, "2", "2")
		if c := h.resizeCondition(low, v1.PodResizePending); c != nil {
			t.Errorf("condition left: %+v", c)
		}
		h.noViolations()
	})
}

// A wish that is taken back is no wish.
func TestResizeTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"a": {}}))
		defer h.stop()
		h.admit = room("1")
		h.noteResizes()
		p := sized(newPod("web", "a"), "1", "10Mi")
		h.workers.Set(p)
		synctest.Wait()
		more := sized(p, "2", "10Mi")
		h.workers.Set(more)
		synctest.Wait()
		if h.resizeCondition(p, v1.PodResizePending) == nil {
			t.Error("not put off")
		}
		h.cgroups.take()
		h.workers.Set(sized(more, "1", "10Mi"))
		synctest.Wait()
		if c := h.resizeCondition(p, v1.PodResizePending); c != nil {
			t.Errorf("condition left: %+v", c)
		}
		h.wantNotes("taken back", "pod cpu=1 memory=10Mi")
	})
}

// The next agent knows what was granted and what was not, with a record or without,
// and restarts nothing.
func TestResizeOutlivesAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"a": {}}))
		defer func() { h.stop() }()
		h.admit = room("2")
		p := newPod("web", "a")
		p.Spec.Containers[0].ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceCPU, RestartPolicy: v1.RestartContainer}}
		p = sized(p, "1", "10Mi")
		h.workers.Set(p)
		synctest.Wait()
		p.Status = h.get(p)

		// Changed while no agent runs: the status tells what the container has.
		h.stop()
		h.restart()
		big := sized(p, "3", "10Mi")
		h.workers.Set(big)
		synctest.Wait()
		h.wantHas("without a record", p, "1", "1")
		if h.resizeCondition(p, v1.PodResizePending) == nil {
			t.Error("not put off")
		}

		// Now there is a record, which counts more than the status.
		h.stop()
		h.restart()
		big.Status = v1.PodStatus{}
		h.workers.Set(big)
		synctest.Wait()
		h.wantHas("with a record", p, "1", "1")

		h.stop()
		h.admit = room("3")
		h.restart()
		h.workers.Set(big)
		h.after(time.Minute)
		h.wantHas("with room", p, "3", "3")
		h.want("restarted once, as its policy says", "container a#0 exited code=0", "container a#1 running code=0", "sandbox web#0 ready=true")
		h.noViolations()
	})
}

// A limit on memory is not lowered below what is in use, and is when less is used.
func TestResizeBelowUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"a": {}}))
		defer h.stop()
		p := sized(newPod("web", "a"), "1", "100Mi")
		h.workers.Set(p)
		synctest.Wait()
		h.noteResizes()
		h.cgroups.take()
		h.rt.Use("a", 60<<20)
		h.workers.Set(sized(p, "1", "50Mi"))
		synctest.Wait()
		c := h.resizeCondition(p, v1.PodResizeInProgress)
		if c == nil || c.Reason != v1.PodReasonError || !strings.Contains(c.Message, `attempting to set container "a" memory limit (52428800) below current usage (62914560)`) {
			t.Errorf("condition %+v", c)
		}
		if !h.sawEvent("ResizeError: Pod resize error: {") {
			t.Errorf("events: %q", h.events)
		}
		h.wantNotes("in use", "pod cpu=1 memory=100Mi")
		h.rt.Use("a", 40<<20)
		h.after(15 * time.Second)
		if c := h.resizeCondition(p, v1.PodResizeInProgress); c != nil {
			t.Errorf("condition left: %+v", c)
		}
		h.wantNotes("freed", "UpdateContainerResources a#0 shares=1024 quota=100000 memory=52428800", "pod cpu=1 memory=50Mi")
	})
}

// Each step of a resize fails once; the outcome is the same.
func TestResizeFailureSweep(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"UpdateContainerResources a", "UpdateContainerResources b"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, critest.New(map[string]critest.Program{"a": {}, "b": {}}))
			defer h.stop()
			p := sized(newPod("web", "a", "b"), "1", "100Mi")
			h.workers.Set(p)
			synctest.Wait()
			failed := false
			h.rt.Fail(func(c string) error {
				if strings.HasPrefix(c, call) && !failed {
					failed = true
					return errors.New("not now")
				}
				return nil
			})
			h.workers.Set(sized(p, "2", "50Mi"))
			synctest.Wait()
			if c := h.resizeCondition(p, v1.PodResizeInProgress); c == nil || c.Reason != v1.PodReasonError || !strings.Contains(c.Message, "not now") {
				t.Errorf("%s: condition %+v", call, c)
			}
			h.after(15 * time.Second)
			if c := h.resizeCondition(p, v1.PodResizeInProgress); c != nil || !failed {
				t.Errorf("%s: condition left: %+v, failed %v", call, c, failed)
			}
			notes := h.cgroups.take()
			if last := notes[len(notes)-1]; last != "pod cpu=4 memory=100Mi" {
				t.Errorf("%s: in the end %s", call, last)
			}
			h.wantHas(call, p, "2", "2")
		})
	}
}
