package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"proa/node/critest"
	"proa/node/image"
	"proa/node/pod"
	"proa/node/worker"
)

func TestPodRunsAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}, "other": {Stops: time.Second}}))
		defer h.stop()
		p := newPod("web", "app", "other")
		h.workers.Set(p)
		synctest.Wait()
		h.want("after the start",
			"container app#0 running code=0", "container other#0 running code=0", "sandbox web#0 ready=true")
		h.wantPhase(p, v1.PodRunning)
		if !h.ready(p) {
			t.Errorf("not ready at once: %+v", h.get(p).Conditions)
		}
		if ip := h.get(p).PodIP; !strings.HasPrefix(ip, "10.42.") {
			t.Errorf("pod IP %q", ip)
		}

		h.workers.Set(deleted(p, 30))
		h.after(2 * time.Second)
		h.wantPhase(p, v1.PodSucceeded)
		if !h.finalized(p.UID) {
			t.Error("the API object is not deleted though everything has ended")
		}
		if len(h.volumes.pods) != 0 {
			t.Error("volumes left")
		}
		h.workers.Remove(p.UID)
		synctest.Wait()
		if !h.rt.Empty() {
			t.Errorf("left in the runtime:\n%s", h.rt.Dump())
		}
		// A read that is older than the pod's end must not start it again.
		h.workers.Set(p)
		synctest.Wait()
		if !h.rt.Empty() {
			t.Error("a stale read started the pod a second time")
		}
		h.noViolations()
	})
}

func TestInitContainersRunInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{
			"one": {Runs: time.Second}, "two": {Runs: time.Second}, "app": {},
		}))
		defer h.stop()
		p := newPod("web", "app")
		p.Spec.InitContainers = []v1.Container{newContainer("one"), newContainer("two")}
		h.workers.Set(p)
		synctest.Wait()
		h.want("at first", "container one#0 running code=0", "sandbox web#0 ready=true")
		h.wantPhase(p, v1.PodPending)
		h.after(time.Second)
		h.want("then", "container one#0 exited code=0", "container two#0 running code=0", "sandbox web#0 ready=true")
		h.after(time.Second)
		h.want("at last", "container app#0 running code=0", "container one#0 exited code=0", "container two#0 exited code=0", "sandbox web#0 ready=true")
		h.wantPhase(p, v1.PodRunning)
		h.noViolations()
	})
}

func TestCrashLoopBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {Runs: time.Second, Code: 1}}))
		defer h.stop()
		p := newPod("web", "app")
		began := time.Now()
		h.workers.Set(p)
		var starts []time.Duration
		seen := int32(-1)
		for time.Since(began) < 15*time.Minute {
			h.after(500 * time.Millisecond)
			if s := h.get(p).ContainerStatuses[0]; s.State.Running != nil && s.RestartCount != seen {
				seen = s.RestartCount
				starts = append(starts, s.State.Running.StartedAt.Sub(began).Round(time.Second))
			}
		}
		// One second of running, then 0, 10, 20, 40, 80, 160, 300, 300 of waiting.
		want := []time.Duration{0, 1, 12, 33, 74, 155, 316, 617}
		if len(starts) != len(want) {
			t.Fatalf("started at %v", starts)
		}
		for i := range want {
			if diff := starts[i] - want[i]*time.Second; diff < 0 || diff > 2*time.Second {
				t.Errorf("start %d after %v, want about %v", i, starts[i], want[i]*time.Second)
			}
		}
		s := h.get(p).ContainerStatuses[0]
		if s.State.Waiting == nil || s.State.Waiting.Reason != "CrashLoopBackOff" || s.LastTerminationState.Terminated == nil {
			t.Errorf("status %+v", s)
		}
		if want := "back-off 5m0s restarting failed container=app pod=web_default(uid-web)"; s.State.Waiting.Message != want {
			t.Errorf("message %q, want %q", s.State.Waiting.Message, want)
		}
		if !h.sawEvent("BackOff: Back-off restarting failed container app in pod web_default(uid-web)") {
			t.Error("no BackOff event")
		}
		// Only the newest ended instance is kept.
		h.want("in the end", fmt.Sprintf("container app#%d exited code=1", seen), "sandbox web#0 ready=true")
		h.noViolations()
	})
}

func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		policy v1.RestartPolicy
		code   int32
		phase  v1.PodPhase
	}{
		{v1.RestartPolicyNever, 0, v1.PodSucceeded},
		{v1.RestartPolicyNever, 3, v1.PodFailed},
		{v1.RestartPolicyOnFailure, 0, v1.PodSucceeded},
		{v1.RestartPolicyOnFailure, 3, v1.PodRunning},
		{v1.RestartPolicyAlways, 0, v1.PodRunning},
	} {
		t.Run(fmt.Sprintf("%s/%d", tt.policy, tt.code), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, critest.New(map[string]critest.Program{"app": {Runs: time.Second, Code: tt.code}}))
				defer h.stop()
				p := newPod("job", "app")
				p.Spec.RestartPolicy = tt.policy
				h.workers.Set(p)
				h.after(3 * time.Second)
				h.wantPhase(p, tt.phase)
				if tt.phase != v1.PodRunning {
					h.want("a pod that is done", fmt.Sprintf("container app#0 exited code=%d", tt.code), "sandbox job#0 ready=false")
					if h.get(p).PodIP == "" {
						t.Error("a pod that has ended loses its address")
					}
				}
				h.noViolations()
			})
		})
	}
}

func TestSidecarsSurroundTheApp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"first": {}, "second": {}, "init": {Runs: time.Second}, "app": {Stops: 3 * time.Second}}))
		defer h.stop()
		p := newPod("web", "app")
		p.Spec.InitContainers = []v1.Container{sidecar("first"), newContainer("init"), sidecar("second")}
		h.workers.Set(p)
		h.after(2 * time.Second)
		if got := h.rt.Running(); !slices.Equal(got, []string{"app", "first", "second"}) {
			t.Fatalf("running: %v", got)
		}
		h.wantPhase(p, v1.PodRunning)
		h.workers.Set(deleted(p, 30))
		h.after(5 * time.Second)
		var stops []string
		for _, l := range h.rt.Log() {
			if s, ok := strings.CutPrefix(l, "StopContainer "); ok {
				stops = append(stops, strings.Fields(s)[0])
			}
		}
		if want := []string{"app#0", "second#0", "first#0"}; !slices.Equal(stops, want) {
			t.Errorf("stopped %v, want %v", stops, want)
		}
		h.noViolations()
	})
}

func TestJobWithSidecarCompletes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"proxy": {}, "app": {Runs: time.Second}}))
		defer h.stop()
		p := newPod("job", "app")
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		p.Spec.InitContainers = []v1.Container{sidecar("proxy")}
		h.workers.Set(p)
		h.after(5 * time.Second)
		h.wantPhase(p, v1.PodSucceeded)
		if got := h.rt.Running(); len(got) != 0 {
			t.Errorf("still running: %v", got)
		}
	})
}

func TestLivenessRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt := critest.New(map[string]critest.Program{"app": {}})
		first := ""
		rt.OnExec(func(id string, _ []string) (string, int, error) {
			if first == "" {
				first = id
			}
			if id == first {
				return "no heartbeat", 1, nil
			}
			return "", 0, nil
		})
		h := newHarness(t, rt)
		defer h.stop()
		p := newPod("web", "app")
		p.Spec.Containers[0].LivenessProbe = &v1.Probe{
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"check"}}}, PeriodSeconds: 5, FailureThreshold: 3, SuccessThreshold: 1, TimeoutSeconds: 1,
			TerminationGracePeriodSeconds: ptr.To[int64](7),
		}
		h.workers.Set(p)
		h.after(9 * time.Second)
		if n := h.get(p).ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("restarted after two failures")
		}
		h.after(time.Minute)
		if n := h.get(p).ContainerStatuses[0].RestartCount; n != 1 {
			t.Errorf("restart count %d, want 1", n)
		}
		if !slices.Contains(rt.Log(), "StopContainer app#0 7s") {
			t.Errorf("the probe's own grace period is not used: %v", rt.Log())
		}
		for _, e := range []string{"Unhealthy: Liveness probe failed: no heartbeat", "Killing: Container app failed liveness probe, will be restarted"} {
			if !h.sawEvent(e) {
				t.Errorf("no event %q", e)
			}
		}
		h.noViolations()
	})
}

func TestReadinessFollowsTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt := critest.New(map[string]critest.Program{"app": {}})
		began := time.Now()
		rt.OnExec(func(string, []string) (string, int, error) {
			if d := time.Since(began); d > 10*time.Second && d < 30*time.Second {
				return "", 0, nil
			}
			return "not yet", 1, nil
		})
		h := newHarness(t, rt)
		defer h.stop()
		p := newPod("web", "app")
		p.Spec.Containers[0].ReadinessProbe = &v1.Probe{
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"check"}}}, PeriodSeconds: 1, FailureThreshold: 1, SuccessThreshold: 1, TimeoutSeconds: 1,
		}
		h.workers.Set(p)
		for _, step := range []struct {
			d    time.Duration
			want bool
		}{{5 * time.Second, false}, {10 * time.Second, true}, {20 * time.Second, false}} {
			h.after(step.d)
			if h.ready(p) != step.want {
				t.Errorf("after %v ready is %v", time.Since(began), !step.want)
			}
		}
	})
}

func TestDeletionCutsAPullShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer h.stop()
		h.images.set(time.Hour, nil)
		p := newPod("web", "app")
		h.workers.Set(p)
		h.after(time.Second)
		h.workers.Set(deleted(p, 30))
		h.after(time.Second)
		if !h.finalized(p.UID) {
			t.Error("the pull holds the deletion up")
		}
		h.want("after the deletion", "sandbox web#0 ready=false")
		h.wantPhase(p, v1.PodFailed)
	})
}

func TestShorterGraceKillsEarlier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {Deaf: true}}))
		defer h.stop()
		p := newPod("web", "app")
		h.workers.Set(p)
		synctest.Wait()
		h.workers.Set(deleted(p, 300))
		h.after(10 * time.Second)
		h.workers.Set(deleted(p, 5))
		h.after(3 * time.Second)
		if !h.finalized(p.UID) {
			t.Errorf("still there: %v", h.rt.Log())
		}
	})
}

func TestImageFailureIsShownAndRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer h.stop()
		h.images.set(0, &image.Error{Reason: "ErrImagePull", Message: "no such image"})
		p := newPod("web", "app")
		h.workers.Set(p)
		synctest.Wait()
		if w := h.get(p).ContainerStatuses[0].State.Waiting; w == nil || w.Reason != "ErrImagePull" || w.Message != "no such image" {
			t.Errorf("waiting %+v", w)
		}
		h.images.set(0, nil)
		h.after(11 * time.Second)
		h.wantPhase(p, v1.PodRunning)
	})
}

func TestAgentRestartTouchesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}, "init": {Runs: time.Second}, "proxy": {}}))
		p := newPod("web", "app")
		p.Spec.InitContainers = []v1.Container{newContainer("init"), sidecar("proxy")}
		h.workers.Set(p)
		h.after(2 * time.Second)
		p = p.DeepCopy()
		p.Status = h.get(p)
		h.stop()
		before, log := h.rt.Dump(), len(h.rt.Log())
		h.restart()
		defer h.stop()
		h.workers.Set(p)
		h.after(time.Minute)
		if after := h.rt.Dump(); after != before {
			t.Errorf("was\n%s\nis\n%s", before, after)
		}
		if calls := h.rt.Log()[log:]; len(calls) > 0 {
			t.Errorf("calls: %v", calls)
		}
		if !h.ready(p) {
			t.Error("not ready after the restart")
		}
	})
}

func TestOrphansEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		p := newPod("web", "app")
		h.workers.Set(p)
		synctest.Wait()
		h.stop()
		h.restart()
		defer h.stop()
		// Not before every source has spoken.
		if _, err := h.workers.Relist(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		h.after(time.Minute)
		if h.rt.Empty() {
			t.Fatal("ended before the sources have spoken")
		}
		if _, err := h.workers.Relist(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		h.after(time.Minute)
		if !h.rt.Empty() {
			t.Errorf("left:\n%s", h.rt.Dump())
		}
		h.noViolations()
	})
}

func TestRebootRestartsThePod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}, "init": {Runs: time.Second}}))
		defer h.stop()
		p := newPod("web", "app")
		p.Spec.InitContainers = []v1.Container{newContainer("init")}
		h.workers.Set(p)
		h.after(2 * time.Second)
		h.rt.KillSandboxes()
		h.after(10 * time.Second)
		h.wantPhase(p, v1.PodRunning)
		s := h.get(p)
		if s.ContainerStatuses[0].RestartCount != 1 || s.InitContainerStatuses[0].RestartCount != 1 {
			t.Errorf("restart counts %d and %d", s.ContainerStatuses[0].RestartCount, s.InitContainerStatuses[0].RestartCount)
		}
		if !strings.Contains(h.rt.Dump(), "sandbox web#1 ready=true") {
			t.Errorf("no new sandbox:\n%s", h.rt.Dump())
		}
		h.noViolations()
	})
}

func TestPodSurvivesEveryFailure(t *testing.T) {
	t.Parallel()
	// Fail the n-th call to the runtime, for every n, and demand the same end.
	for n := 0; ; n++ {
		failed := false
		synctest.Test(t, func(t *testing.T) {
			rt := critest.New(map[string]critest.Program{"app": {}, "init": {Runs: time.Second}, "proxy": {}})
			calls := 0
			rt.Fail(func(call string) error {
				if calls++; calls == n+1 {
					failed = true
					return errors.New("injected into " + call)
				}
				return nil
			})
			h := newHarness(t, rt)
			defer h.stop()
			p := newPod("web", "app")
			p.Spec.InitContainers = []v1.Container{newContainer("init"), sidecar("proxy")}
			h.workers.Set(p)
			h.after(5 * time.Minute)
			h.wantPhase(p, v1.PodRunning)
			if !h.ready(p) {
				t.Errorf("failure of call %d: never ready: %+v", n, h.get(p))
			}
			h.workers.Set(deleted(p, 30))
			h.after(5 * time.Minute)
			if !h.finalized(p.UID) {
				t.Errorf("failure of call %d: never finalized", n)
			}
			h.workers.Remove(p.UID)
			h.after(time.Minute)
			if !rt.Empty() {
				t.Errorf("failure of call %d leaves\n%s", n, rt.Dump())
			}
			h.noViolations()
		})
		if !failed || t.Failed() {
			if n < 10 {
				t.Errorf("only %d calls were swept", n)
			}
			return
		}
	}
}

func TestAgentKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	// Kill the agent at the n-th call to the runtime; the next one finishes the
	// work and starts nothing twice.
	for n := 1; ; n++ {
		reached := false
		synctest.Test(t, func(t *testing.T) {
			rt := critest.New(map[string]critest.Program{"app": {}, "init": {Runs: time.Second}})
			h := newHarness(t, rt)
			calls := 0
			dead := make(chan struct{})
			rt.Fail(func(string) error {
				if calls++; calls == n {
					reached = true
					close(dead)
				}
				if calls >= n {
					return errors.New("the agent is dead")
				}
				return nil
			})
			p := newPod("web", "app")
			p.Spec.InitContainers = []v1.Container{newContainer("init")}
			h.workers.Set(p)
			select {
			case <-dead:
			case <-time.After(5 * time.Minute):
			}
			p = p.DeepCopy()
			p.Status = h.get(p)
			h.stop()
			rt.Fail(nil)
			h.restart()
			defer h.stop()
			h.workers.Set(p)
			h.after(5 * time.Minute)
			if !h.ready(p) {
				t.Errorf("killed at call %d: never ready:\n%s", n, rt.Dump())
			}
			if s := h.get(p); s.ContainerStatuses[0].RestartCount != 0 {
				t.Errorf("killed at call %d: restarted: %v", n, rt.Log())
			}
			h.noViolations()
		})
		if !reached || t.Failed() {
			return
		}
	}
}

func TestVolumesHoldContainersBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer h.stop()
		h.volumes.setErr(errors.New("configmap \"x\" not found"))
		p := newPod("web", "app")
		h.workers.Set(p)
		h.after(5 * time.Second)
		if got := h.rt.Running(); len(got) > 0 {
			t.Errorf("running without volumes: %v", got)
		}
		for _, c := range h.get(p).Conditions {
			if c.Type == v1.PodReadyToStartContainers && c.Status != v1.ConditionFalse {
				t.Errorf("ready to start containers without volumes")
			}
		}
		h.volumes.setErr(nil)
		h.workers.Retry(p.UID)
		synctest.Wait()
		h.wantPhase(p, v1.PodRunning)
	})
}

func TestUserNamespaceIsNotIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer h.stop()
		p := newPod("web", "app")
		p.Spec.HostUsers = ptr.To(false)
		h.workers.Set(p)
		h.after(5 * time.Second)
		if !h.rt.Empty() || !h.sawEvent("FailedCreatePodSandBox") {
			t.Errorf("a pod that asks for a user namespace runs without one:\n%s", h.rt.Dump())
		}
	})
}

func TestRefusedPodFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer h.stop()
		h.admit = func(_ *v1.Pod, others []*v1.Pod) *worker.Rejection {
			if len(others) > 0 {
				return &worker.Rejection{Reason: "OutOfcpu", Message: "Node didn't have enough resource: cpu, requested: 1, used: 1, capacity: 1"}
			}
			return nil
		}
		a, b, c := newPod("a", "app"), newPod("b", "app"), newPod("c", "app")
		h.workers.Set(a)
		h.workers.Set(b)
		synctest.Wait()
		h.wantPhase(a, v1.PodRunning)
		h.wantPhase(b, v1.PodFailed)
		if s := h.get(b); s.Reason != "OutOfcpu" || !strings.HasPrefix(s.Message, "Pod was rejected: Node didn't have") {
			t.Errorf("status %+v", s)
		}
		// A pod that has ended makes room.
		h.workers.Set(deleted(a, 0))
		h.after(5 * time.Second)
		h.workers.Set(c)
		synctest.Wait()
		h.wantPhase(c, v1.PodRunning)
	})
}

func TestStaticPodIsReplacedAfterItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {Stops: 3 * time.Second}, "new": {}}))
		defer h.stop()
		static := func(uid types.UID, containers ...string) *v1.Pod {
			p := newPod("static", containers...)
			p.UID = uid
			p.Annotations = map[string]string{pod.SourceAnnotation: "file", pod.HashSourceAnnotation: string(uid)}
			return p
		}
		one, two := static("u1", "app"), static("u2", "new")
		h.workers.Set(one)
		synctest.Wait()
		h.workers.Remove(one.UID)
		h.workers.Set(two)
		h.after(time.Second)
		if got := h.rt.Running(); !slices.Equal(got, []string{"app"}) {
			t.Errorf("running %v while the old one ends", got)
		}
		h.after(5 * time.Second)
		if got := h.rt.Running(); !slices.Equal(got, []string{"new"}) {
			t.Errorf("running %v", got)
		}
		// The same manifest again, after it was taken away, is a new start.
		h.workers.Remove(two.UID)
		h.workers.Set(two)
		h.after(5 * time.Second)
		if got := h.rt.Running(); !slices.Equal(got, []string{"new"}) {
			t.Errorf("running %v after the manifest came back", got)
		}
		h.noViolations()
	})
}

func TestActiveDeadlineEndsThePod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer h.stop()
		p := newPod("job", "app")
		p.Spec.ActiveDeadlineSeconds = ptr.To[int64](60)
		h.workers.Set(p)
		h.after(59 * time.Second)
		h.wantPhase(p, v1.PodRunning)
		h.after(3 * time.Second)
		h.wantPhase(p, v1.PodFailed)
		if s := h.get(p); s.Reason != "DeadlineExceeded" {
			t.Errorf("reason %q", s.Reason)
		}
		if got := h.rt.Running(); len(got) > 0 {
			t.Errorf("running: %v", got)
		}
	})
}

func TestHooksRunAroundTheContainer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt := critest.New(map[string]critest.Program{"app": {}, "next": {}})
		var ran []string
		rt.OnExec(func(_ string, cmd []string) (string, int, error) {
			time.Sleep(2 * time.Second)
			ran = append(ran, cmd[0])
			return "", 0, nil
		})
		h := newHarness(t, rt)
		defer h.stop()
		p := newPod("web", "app", "next")
		exec := func(name string) *v1.LifecycleHandler {
			return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{name}}}
		}
		p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: exec("post"), PreStop: exec("pre")}
		h.workers.Set(p)
		h.after(time.Second)
		if got := rt.Running(); !slices.Equal(got, []string{"app"}) || h.ready(p) {
			t.Errorf("the hook does not hold the rest back: %v, ready %v", got, h.ready(p))
		}
		h.after(2 * time.Second)
		if !h.ready(p) {
			t.Error("not ready after the hook")
		}
		h.workers.Set(deleted(p, 30))
		h.after(time.Second)
		if got := rt.Running(); !slices.Equal(got, []string{"app"}) {
			t.Errorf("running %v while the preStop hook runs", got)
		}
		h.after(5 * time.Second)
		if !h.finalized(p.UID) || !slices.Equal(ran, []string{"post", "pre"}) {
			t.Errorf("hooks %v", ran)
		}
	})
}

func TestContainerChangeReplacesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}, "app2": {}}))
		defer h.stop()
		p := newPod("web", "app")
		h.workers.Set(p)
		synctest.Wait()
		p = p.DeepCopy()
		p.Spec.Containers[0].Image = "app2"
		p.Generation = 2
		h.workers.Set(p)
		h.after(time.Second)
		s := h.get(p).ContainerStatuses[0]
		if s.Image != "app2" || s.RestartCount != 1 || s.State.Running == nil {
			t.Errorf("status %+v", s)
		}
		if !h.sawEvent("Killing: Container app definition changed, will be restarted") {
			t.Error("no event")
		}
		if h.get(p).ObservedGeneration != 2 {
			t.Error("generation not observed")
		}
		h.noViolations()
	})
}

// No container of a new sandbox starts before the pod is isolated; one that
// restarts does not wait.
func TestIsolation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, critest.New(map[string]critest.Program{"app": {}}))
		defer func() { h.stop() }() // the last one's
		var asked []string
		open := make(chan error)
		h.isolate = func(ctx context.Context, p *v1.Pod, ips []string) error {
			asked = append(asked, ips...)
			select {
			case err := <-open:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h.stop()
		h.restart()
		p := newPod("web", "app")
		h.workers.Set(p)
		synctest.Wait()
		h.want("before it is isolated", "sandbox web#0 ready=true")
		open <- errors.New("no rules")
		synctest.Wait()
		if w := h.get(p).ContainerStatuses[0].State.Waiting; w == nil || w.Reason != "NetworkPolicyError" || w.Message != "no rules" {
			t.Errorf("the container is %+v", h.get(p).ContainerStatuses[0].State)
		}
		h.after(20 * time.Second)
		open <- nil
		synctest.Wait()
		h.want("after it is isolated", "container app#0 running code=0", "sandbox web#0 ready=true")
		h.wantPhase(p, v1.PodRunning)
		// A new agent finds the container, and has nothing to ask.
		h.stop()
		h.restart()
		h.workers.Set(p)
		synctest.Wait()
		if len(asked) != 2 || asked[0] != h.get(p).PodIP {
			t.Errorf("isolated were %v", asked)
		}
		host := newPod("host", "app")
		host.Spec.HostNetwork = true
		h.workers.Set(host)
		synctest.Wait()
		h.wantPhase(host, v1.PodRunning)
	})
}
