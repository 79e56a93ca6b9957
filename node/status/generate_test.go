package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/node/pod"
	"proa/node/status"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newPod(policy v1.RestartPolicy, inits []string, apps ...string) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", Generation: 7}, Spec: v1.PodSpec{RestartPolicy: policy}}
	for _, n := range inits {
		c := v1.Container{Name: n, Image: "image"}
		if strings.HasPrefix(n, "side") {
			c.RestartPolicy = ptr.To(v1.ContainerRestartPolicyAlways)
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
	for _, n := range apps {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: n, Image: "image"})
	}
	return p
}

// given makes an input from instances like "app running" or "app exited 1".
func given(p *v1.Pod, instances ...string) status.Input {
	in := status.Input{
		Pod: p, Prepared: true, Runtime: "containerd", HostIPs: []string{"192.0.2.1"}, StartTime: now, Now: now,
		Observed: pod.Observed{Sandboxes: []pod.Sandbox{{ID: "s0", Ready: true, IPs: []string{"10.0.0.1"}}}},
		Probes:   map[string]status.Probe{},
	}
	for _, i := range instances {
		f := strings.Fields(i)
		c := pod.Container{ID: f[0], Name: f[0], SandboxID: "s0", Image: "image", ImageRef: "image@sha256:1"}
		switch f[1] {
		case "running":
			c.State, c.StartedAt = pod.Running, now
			in.Probes[c.ID] = status.Probe{Started: true, Ready: true}
		case "exited":
			c.State, c.StartedAt, c.FinishedAt = pod.Exited, now, now
			c.Reason = "Completed"
			if f[2] != "0" {
				c.ExitCode, c.Reason = 1, "Error"
			}
		}
		in.Observed.Containers = append(in.Observed.Containers, c)
	}
	return in
}

// brief writes conditions as "Type=Status(Reason: Message)".
func brief(s v1.PodStatus) map[string]string {
	out := map[string]string{}
	for _, c := range s.Conditions {
		v := string(c.Status)
		if c.Reason != "" {
			v += " " + c.Reason
		}
		if c.Message != "" {
			v += " " + c.Message
		}
		out[string(c.Type)] = v
	}
	return out
}

func TestPhaseAndConditions(t *testing.T) {
	t.Parallel()
	const (
		unready    = "False ContainersNotReady containers with unready status: "
		incomplete = "False ContainersNotInitialized containers with incomplete status: "
	)
	for _, tt := range []struct {
		name                             string
		in                               status.Input
		change                           func(*status.Input)
		phase                            v1.PodPhase
		initialized, containersReady, is string // is: the Ready condition, if it differs
	}{
		{name: "new", in: given(newPod("Always", nil, "a")), phase: "Pending", initialized: "True", containersReady: unready + "[a]"},
		{name: "running", in: given(newPod("Always", nil, "a"), "a running"), phase: "Running", initialized: "True", containersReady: "True"},
		{name: "one of two", in: given(newPod("Always", nil, "a", "b"), "a running"), phase: "Pending", initialized: "True", containersReady: unready + "[b]"},
		{
			name: "not ready", in: given(newPod("Always", nil, "a"), "a running"), phase: "Running", initialized: "True", containersReady: unready + "[a]",
			change: func(in *status.Input) { in.Probes["a"] = status.Probe{Started: true} },
		},
		{name: "between two runs", in: given(newPod("Always", nil, "a"), "a exited 1"), phase: "Running", initialized: "True", containersReady: unready + "[a]"},
		{
			name: "in a crash loop", in: given(newPod("Always", nil, "a"), "a exited 1"), phase: "Running", initialized: "True", containersReady: unready + "[a]",
			change: func(in *status.Input) { in.Waiting = map[string]pod.Waiting{"a": {Reason: "CrashLoopBackOff"}} },
		},
		{name: "done", in: given(newPod("OnFailure", nil, "a"), "a exited 0"), phase: "Succeeded", initialized: "True PodCompleted", containersReady: "False PodCompleted"},
		{name: "failed", in: given(newPod("Never", nil, "a"), "a exited 1"), phase: "Failed", initialized: "True", containersReady: "False PodFailed"},
		{name: "to be repeated", in: given(newPod("OnFailure", nil, "a"), "a exited 1"), phase: "Running", initialized: "True", containersReady: unready + "[a]"},
		{name: "initializing", in: given(newPod("Always", []string{"i"}, "a"), "i running"), phase: "Pending", initialized: incomplete + "[i]", containersReady: unready + "[a]"},
		{name: "initialized", in: given(newPod("Always", []string{"i"}, "a"), "i exited 0", "a running"), phase: "Running", initialized: "True", containersReady: "True"},
		{name: "initialization failed", in: given(newPod("Never", []string{"i"}, "a"), "i exited 1"), phase: "Failed", initialized: incomplete + "[i]", containersReady: "False PodFailed"},
		{name: "with a sidecar", in: given(newPod("Always", []string{"side"}, "a"), "side running", "a running"), phase: "Running", initialized: "True", containersReady: "True"},
		{name: "sidecar outlives the app", in: given(newPod("Never", []string{"side"}, "a"), "side running", "a exited 0"), phase: "Running", initialized: "True", containersReady: unready + "[a]"},
		{name: "sidecar ended after the app", in: given(newPod("Never", []string{"side"}, "a"), "side exited 1", "a exited 0"), phase: "Succeeded", initialized: "True PodCompleted", containersReady: "False PodCompleted"},
		{
			name: "ended by deletion", in: given(newPod("Always", nil, "a"), "a exited 0"), phase: "Succeeded", initialized: "True PodCompleted", containersReady: "False PodCompleted",
			change: func(in *status.Input) { in.Stopping, in.Stopped = true, true },
		},
		{
			name: "deleted before it ran", in: given(newPod("Always", nil, "a")), phase: "Failed", initialized: "True", containersReady: "False PodFailed",
			change: func(in *status.Input) { in.Stopping, in.Stopped = true, true },
		},
		{
			name: "readiness gate", in: given(newPod("Always", nil, "a"), "a running"), phase: "Running", initialized: "True", containersReady: "True",
			is: `False ReadinessGatesNotReady corresponding condition of pod readiness gate "x/y" does not exist.`,
			change: func(in *status.Input) {
				in.Pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "x/y"}}
			},
		},
		{
			name: "over its deadline", in: given(newPod("Always", nil, "a"), "a running"), phase: "Failed", initialized: "True", containersReady: "False PodFailed",
			change: func(in *status.Input) { in.Finish = &pod.Finish{Reason: "DeadlineExceeded"} },
		},
		{
			name: "an end is final", in: given(newPod("Always", nil, "a"), "a running"), phase: "Failed", initialized: "True", containersReady: "False PodFailed",
			change: func(in *status.Input) { in.Previous.Phase = v1.PodFailed },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.change != nil {
				tt.change(&tt.in)
			}
			s := status.Generate(tt.in)
			if s.Phase != tt.phase {
				t.Errorf("phase %s, want %s", s.Phase, tt.phase)
			}
			if tt.is == "" {
				tt.is = tt.containersReady
			}
			want := map[string]string{
				"PodReadyToStartContainers": "True", "PodScheduled": "True",
				"Initialized": tt.initialized, "ContainersReady": tt.containersReady, "Ready": tt.is,
			}
			if diff := cmp.Diff(want, brief(s)); diff != "" {
				t.Error(diff)
			}
			for _, c := range s.Conditions {
				if c.ObservedGeneration != 7 {
					t.Errorf("condition %s observed generation %d", c.Type, c.ObservedGeneration)
				}
			}
			if s.ObservedGeneration != 7 {
				t.Errorf("observed generation %d", s.ObservedGeneration)
			}
		})
	}
}

func TestContainerStatuses(t *testing.T) {
	t.Parallel()
	p := newPod("Always", []string{"i"}, "b", "a")
	s := status.Generate(given(p))
	if s.ContainerStatuses[0].Name != "a" || s.ContainerStatuses[1].Name != "b" {
		t.Error("not ordered by name")
	}
	if w := s.ContainerStatuses[0].State.Waiting; w == nil || w.Reason != "PodInitializing" {
		t.Errorf("waiting %+v", w)
	}

	in := given(newPod("Always", nil, "a"), "a exited 1")
	in.Waiting = map[string]pod.Waiting{"a": {Reason: "CrashLoopBackOff", Message: "back-off"}}
	cs := status.Generate(in).ContainerStatuses[0]
	if cs.State.Waiting == nil || cs.LastTerminationState.Terminated == nil || cs.LastTerminationState.Terminated.ContainerID != "containerd://a" {
		t.Errorf("a crash loop is shown as %+v", cs)
	}
	in.Stopping = true
	if cs := status.Generate(in).ContainerStatuses[0]; cs.State.Terminated == nil {
		t.Errorf("a pod that stops waits for nothing: %+v", cs.State)
	}

	// The runtime has lost a container that ran.
	in = given(newPod("Always", nil, "a"))
	in.Previous.ContainerStatuses = []v1.ContainerStatus{{Name: "a", RestartCount: 2, State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}}
	cs = status.Generate(in).ContainerStatuses[0]
	if cs.RestartCount != 3 || cs.LastTerminationState.Terminated == nil || cs.LastTerminationState.Terminated.ExitCode != 137 {
		t.Errorf("a lost container is shown as %+v", cs)
	}

	in = given(newPod("Always", nil, "a"), "a running")
	in.Previous = status.Generate(in)
	in.Now = now.Add(time.Hour)
	again := status.Generate(in)
	if diff := cmp.Diff(in.Previous, again); diff != "" {
		t.Errorf("the same state an hour later differs: %s", diff)
	}
}
