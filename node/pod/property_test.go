package pod_test

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"proa/node/cri"
	"proa/node/pod"
)

// anyInput draws a pod in any state at all, also such as should not happen.
func anyInput(t *rapid.T) pod.Input {
	policy := rapid.SampledFrom([]v1.RestartPolicy{"Always", "OnFailure", "Never"}).Draw(t, "policy")
	p := newPod(policy, nil)
	for i := range rapid.IntRange(0, 3).Draw(t, "inits") {
		c := container(fmt.Sprintf("i%d", i))
		if rapid.Bool().Draw(t, "sidecar") {
			c.RestartPolicy = ptr.To(v1.ContainerRestartPolicyAlways)
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "apps") {
		p.Spec.Containers = append(p.Spec.Containers, container(fmt.Sprintf("a%d", i)))
	}
	in := pod.Input{
		Pod: p, Now: at(1000), StartTime: at(0),
		Prepared: rapid.Bool().Draw(t, "prepared"),
		Memory:   map[string]pod.Memory{}, Verdicts: map[string]pod.Verdict{},
		Busy: pod.Busy{
			Sandbox:  rapid.IntRange(0, 4).Draw(t, "sandbox busy") == 0,
			Starting: map[string]bool{}, Stopping: map[string]time.Time{}, Removing: map[string]bool{},
		},
	}
	for s := range rapid.IntRange(0, 2).Draw(t, "sandboxes") {
		box := pod.Sandbox{ID: fmt.Sprintf("s%d", s), Attempt: uint32(2 - s), Ready: rapid.IntRange(0, 3).Draw(t, "ready") > 0}
		if rapid.IntRange(0, 5).Draw(t, "ip") > 0 {
			box.IPs = []string{"10.0.0.1"}
		}
		in.Observed.Sandboxes = append(in.Observed.Sandboxes, box)
	}
	all := append(append([]v1.Container(nil), p.Spec.InitContainers...), p.Spec.Containers...)
	for i := range all {
		c := &all[i]
		n := rapid.IntRange(0, 2).Draw(t, "instances")
		if len(in.Observed.Sandboxes) == 0 {
			n = 0
		}
		for k := range n {
			it := pod.Container{
				ID: fmt.Sprintf("%s-%d", c.Name, k), Name: c.Name, RestartCount: int32(n - k), Hash: cri.Hash(c),
				SandboxID:  rapid.SampledFrom(in.Observed.Sandboxes).Draw(t, "in").ID,
				State:      rapid.SampledFrom([]pod.State{pod.Running, pod.Exited, pod.Exited, pod.Created, pod.Unknown}).Draw(t, "state"),
				ExitCode:   int32(rapid.IntRange(0, 1).Draw(t, "code")),
				FinishedAt: at(rapid.IntRange(900, 1000).Draw(t, "finished")),
			}
			if k > 0 {
				it.State = pod.Exited
			}
			in.Observed.Containers = append(in.Observed.Containers, it)
			in.Verdicts[it.ID] = pod.Verdict{
				Started:        rapid.Bool().Draw(t, "started"),
				LivenessFailed: rapid.IntRange(0, 4).Draw(t, "liveness") == 0,
			}
			if rapid.IntRange(0, 4).Draw(t, "stopping") == 0 {
				in.Busy.Stopping[it.ID] = at(1000 + rapid.IntRange(0, 60).Draw(t, "deadline"))
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "starting") == 0 {
			in.Busy.Starting[c.Name] = true
		}
		in.Memory[c.Name] = pod.Memory{Backoff: pod.Backoff{Delay: time.Duration(rapid.IntRange(0, 300).Draw(t, "delay")) * time.Second, Updated: at(890)}}
	}
	if rapid.Bool().Draw(t, "stop") {
		in.Stop = &pod.Stop{Since: at(rapid.IntRange(950, 1000).Draw(t, "since")), Grace: time.Duration(rapid.IntRange(1, 60).Draw(t, "grace")) * time.Second}
	}
	return in
}

func TestDecideIsSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		plan := pod.Decide(in)
		touched := map[string]bool{}
		for _, a := range plan.Actions {
			key := a.ID
			if key == "" {
				key = a.Name
			}
			if touched[key] {
				t.Fatalf("%s is acted on twice: %v", key, plan.Actions)
			}
			touched[key] = true
			switch a.Verb {
			case pod.StartContainer:
				if in.Stop != nil {
					t.Fatalf("a pod being stopped starts %s", a.Name)
				}
				if in.Busy.Starting[a.Name] {
					t.Fatalf("%s is started twice", a.Name)
				}
				if !in.Prepared {
					t.Fatalf("%s starts without volumes", a.Name)
				}
				if in.Observed.ReadySandbox() == nil {
					t.Fatalf("%s starts without a sandbox", a.Name)
				}
				if last := in.Observed.Latest(a.Name); last != nil && last.State == pod.Running {
					t.Fatalf("%s starts while it runs", a.Name)
				}
			case pod.CreateSandbox:
				if in.Stop != nil || in.Busy.Sandbox || in.Observed.Active() {
					t.Fatalf("a sandbox is made at the wrong time")
				}
				for _, s := range in.Observed.Sandboxes {
					if s.Ready || s.Attempt >= a.Attempt {
						t.Fatalf("sandbox#%d beside %+v", a.Attempt, s)
					}
				}
			case pod.StopContainer:
				c := in.Observed.ByID(a.ID)
				if c.State != pod.Running && c.State != pod.Unknown {
					t.Fatalf("%s is stopped though it is %v", a.ID, c.State)
				}
				if under, ok := in.Busy.Stopping[a.ID]; ok && !a.Deadline.Before(under) {
					t.Fatalf("the stop of %s is repeated without need", a.ID)
				}
				if a.Deadline.Before(in.Now.Add(pod.MinGrace)) && !a.Deadline.Equal(in.Stop.Deadline()) {
					t.Fatalf("%s gets no time to end", a.ID)
				}
				good := in.Observed.ReadySandbox() != nil && len(in.Observed.ReadySandbox().IPs) > 0 && c.SandboxID == in.Observed.ReadySandbox().ID
				for i := range in.Observed.Sandboxes {
					if i > 0 && in.Observed.Sandboxes[i].Ready {
						good = false
					}
				}
				if in.Stop == nil && good && c.SandboxID == in.Observed.Sandbox().ID && c.State == pod.Running && !in.Verdicts[c.ID].LivenessFailed {
					t.Fatalf("healthy container %s is stopped: %s", c.ID, a.Message)
				}
			case pod.RemoveContainer:
				if c := in.Observed.ByID(a.ID); c.State == pod.Running {
					t.Fatalf("%s is removed while it runs", a.ID)
				}
			case pod.StopSandbox:
				if in.Observed.Active() {
					t.Fatalf("sandbox %s is stopped under running containers", a.ID)
				}
			}
		}
		if plan.Stopped && (in.Observed.Active() || in.Stop == nil) {
			t.Fatalf("stopped with %+v", in.Observed)
		}
		if !plan.Wake.IsZero() && plan.Wake.Before(in.Now) {
			t.Fatalf("wakes in the past: %v", plan.Wake)
		}
		// Something must be going on, or be over, or be waited for.
		idle := len(plan.Actions) == 0 && plan.Finish == nil && !plan.Stopped && plan.Wake.IsZero()
		busy := in.Busy.Sandbox || len(in.Busy.Starting)+len(in.Busy.Stopping) > 0
		if idle && !busy && !in.Observed.Active() && in.Prepared {
			t.Fatalf("the pod hangs: %+v", in)
		}
	})
}
