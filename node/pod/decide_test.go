package pod_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/node/cri"
	"proa/node/pod"
	"proa/node/resize"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the time so many seconds into a test.
func at(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }

func container(name string) v1.Container { return v1.Container{Name: name, Image: "image"} }

func sidecar(name string) v1.Container {
	c := container(name)
	c.RestartPolicy = ptr.To(v1.ContainerRestartPolicyAlways)
	return c
}

func newPod(policy v1.RestartPolicy, inits []v1.Container, apps ...string) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"},
		Spec:       v1.PodSpec{RestartPolicy: policy, InitContainers: inits, TerminationGracePeriodSeconds: ptr.To[int64](30)},
	}
	for _, a := range apps {
		p.Spec.Containers = append(p.Spec.Containers, container(a))
	}
	return p
}

// instance writes a container instance of sandbox s0: "app running", "app exited
// 1", "app created", optionally with a restart count: "app#3 exited 0".
func instance(text string) pod.Container {
	f := strings.Fields(text)
	c := pod.Container{SandboxID: "s0"}
	name, count, _ := strings.Cut(f[0], "#")
	c.Name, c.ID = name, f[0]
	for _, d := range count {
		c.RestartCount = c.RestartCount*10 + int32(d-'0')
	}
	spec := container(name)
	c.Hash = cri.Hash(&spec)
	switch f[1] {
	case "running":
		c.State = pod.Running
	case "created":
		c.State = pod.Created
	case "exited":
		c.State, c.FinishedAt = pod.Exited, at(100)
		for _, d := range f[2] {
			c.ExitCode = c.ExitCode*10 + int32(d-'0')
		}
	}
	return c
}

func observed(instances ...string) pod.Observed {
	o := pod.Observed{Sandboxes: []pod.Sandbox{{ID: "s0", Ready: true, IPs: []string{"10.0.0.1"}}}}
	for _, i := range instances {
		o.Containers = append(o.Containers, instance(i))
	}
	return o
}

func started(ids ...string) map[string]pod.Verdict {
	out := map[string]pod.Verdict{}
	for _, id := range ids {
		out[id] = pod.Verdict{Started: true}
	}
	return out
}

func TestDecide(t *testing.T) {
	t.Parallel()
	inits := []v1.Container{container("i1"), container("i2")}
	side := []v1.Container{sidecar("s1"), container("i1"), sidecar("s2")}
	notReady := func(o pod.Observed) pod.Observed { o.Sandboxes[0].Ready = false; return o }
	for _, tt := range []struct {
		name    string
		in      pod.Input
		want    string // actions, separated by "; "
		finish  bool
		stopped bool
		wake    int // seconds into the test; 0 is never
		waiting string
	}{
		{name: "a new pod gets a sandbox", in: pod.Input{Pod: newPod("Always", nil, "a")}, want: "create sandbox#0"},
		{name: "not while one is being made", in: pod.Input{Pod: newPod("Always", nil, "a"), Busy: pod.Busy{Sandbox: true}}},
		{name: "nor at once after a failure", in: pod.Input{Pod: newPod("Always", nil, "a"), SandboxRetryAt: at(120)}, wake: 120},
		{name: "containers start in order", in: pod.Input{Pod: newPod("Always", nil, "b", "a"), Observed: observed(), Prepared: true}, want: "start app b#0; start app a#0"},
		{name: "not without volumes", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed()}},
		{name: "not twice", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed(), Prepared: true, Busy: pod.Busy{Starting: map[string]bool{"a": true}}}},
		{name: "a running pod is left alone", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a running"), Prepared: true}},
		{name: "the first restart is immediate", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a exited 1"), Prepared: true}, want: "start app a#1"},
		{
			name: "later ones wait",
			in: pod.Input{
				Pod: newPod("Always", nil, "a"), Observed: observed("a#1 exited 1"), Prepared: true,
				Memory: map[string]pod.Memory{"a": {Backoff: pod.Backoff{Delay: 20 * time.Second, Updated: at(99)}}},
			},
			wake: 120, waiting: "a CrashLoopBackOff back-off 20s restarting failed container=a pod=p_ns(u)",
		},
		{
			name: "a long run clears the history",
			in: pod.Input{
				Pod: newPod("Always", nil, "a"), Observed: observed("a#1 exited 1"), Prepared: true,
				Memory: map[string]pod.Memory{"a": {Backoff: pod.Backoff{Delay: 20 * time.Second, Updated: at(100 - 601)}}},
			},
			want: "start app a#2",
		},
		{name: "Never is never", in: pod.Input{Pod: newPod("Never", nil, "a"), Observed: observed("a exited 1"), Prepared: true}, finish: true},
		{name: "OnFailure and success", in: pod.Input{Pod: newPod("OnFailure", nil, "a"), Observed: observed("a exited 0"), Prepared: true}, finish: true},
		{name: "OnFailure and failure", in: pod.Input{Pod: newPod("OnFailure", nil, "a"), Observed: observed("a exited 2"), Prepared: true}, want: "start app a#1"},
		{name: "one of two is done", in: pod.Input{Pod: newPod("OnFailure", nil, "a", "b"), Observed: observed("a exited 0", "b running"), Prepared: true}},
		{name: "what was created but not started goes", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a created"), Prepared: true}, want: "remove a"},
		{name: "liveness", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a running"), Prepared: true, Verdicts: map[string]pod.Verdict{"a": {LivenessFailed: true}}}, want: "stop a: Container a failed liveness probe, will be restarted"},
		{name: "liveness of a pod that does not restart", in: pod.Input{Pod: newPod("Never", nil, "a"), Observed: observed("a running"), Prepared: true, Verdicts: map[string]pod.Verdict{"a": {LivenessFailed: true}}}, want: "stop a: Container a failed liveness probe"},
		{name: "startup", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a running"), Prepared: true, Verdicts: map[string]pod.Verdict{"a": {StartupFailed: true}}}, want: "stop a: Container a failed startup probe, will be restarted"},
		{name: "replacement ignores the policy", in: pod.Input{Pod: newPod("Never", nil, "a"), Observed: observed("a exited 0"), Prepared: true, Memory: map[string]pod.Memory{"a": {Replace: "a"}}}, want: "start app a#1"},

		{name: "init containers first", in: pod.Input{Pod: newPod("Always", inits, "a"), Observed: observed(), Prepared: true}, want: "start init i1#0"},
		{name: "one at a time", in: pod.Input{Pod: newPod("Always", inits, "a"), Observed: observed("i1 running"), Prepared: true}},
		{name: "then the next", in: pod.Input{Pod: newPod("Always", inits, "a"), Observed: observed("i1 exited 0"), Prepared: true}, want: "start init i2#0"},
		{name: "then the apps", in: pod.Input{Pod: newPod("Always", inits, "a"), Observed: observed("i1 exited 0", "i2 exited 0"), Prepared: true}, want: "start app a#0"},
		{name: "a removed record is no reason to run again", in: pod.Input{Pod: newPod("Always", inits, "a"), Observed: observed("i2 exited 0"), Prepared: true}, want: "start app a#0"},
		{name: "nor once the apps have run", in: pod.Input{Pod: newPod("Always", inits, "a"), Observed: observed("a running"), Prepared: true}},
		{name: "a failed init container is repeated", in: pod.Input{Pod: newPod("OnFailure", inits, "a"), Observed: observed("i1 exited 1"), Prepared: true}, want: "start init i1#1"},
		{name: "or fails the pod", in: pod.Input{Pod: newPod("Never", inits, "a"), Observed: observed("i1 exited 1"), Prepared: true}, finish: true},

		{name: "a sidecar starts in its turn", in: pod.Input{Pod: newPod("Always", side, "a"), Observed: observed(), Prepared: true}, want: "start init s1#0"},
		{name: "the next waits until it has started", in: pod.Input{Pod: newPod("Always", side, "a"), Observed: observed("s1 running"), Prepared: true}},
		{name: "and goes on then", in: pod.Input{Pod: newPod("Always", side, "a"), Observed: observed("s1 running"), Prepared: true, Verdicts: started("s1")}, want: "start init i1#0"},
		{name: "sidecars come back at any time", in: pod.Input{Pod: newPod("Never", side, "a"), Observed: observed("s1 exited 0", "i1 exited 0", "s2 running", "a running"), Prepared: true, Verdicts: started("s2")}, want: "start init s1#1"},
		{name: "but keep no pod alive", in: pod.Input{Pod: newPod("Never", side, "a"), Observed: observed("s1 running", "i1 exited 0", "s2 running", "a exited 0"), Prepared: true, Verdicts: started("s1", "s2")}, finish: true},

		{name: "a dead sandbox is replaced", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: notReady(observed("a exited 137")), Prepared: true}, want: "create sandbox#1"},
		{name: "what still runs in it ends first", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: notReady(observed("a running")), Prepared: true}, want: "stop a: Pod sandbox changed, it will be killed and re-created."},
		{name: "not for a pod that is done", in: pod.Input{Pod: newPod("Never", nil, "a"), Observed: notReady(observed("a exited 0")), Prepared: true}, finish: true},
		{name: "but for one whose containers never ran", in: pod.Input{Pod: newPod("Never", inits, "a"), Observed: notReady(observed("i1 exited 0")), Prepared: true}, want: "create sandbox#1"},

		{name: "a stop ends the containers", in: pod.Input{Pod: newPod("Always", nil, "a", "b"), Observed: observed("a running", "b running"), Stop: &pod.Stop{Since: at(110), Grace: 30 * time.Second}}, want: "stop a; stop b"},
		{name: "once", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a running"), Stop: &pod.Stop{Since: at(110), Grace: 30 * time.Second}, Busy: pod.Busy{Stopping: map[string]time.Time{"a": at(140)}}}},
		{name: "again if it must go faster", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a running"), Stop: &pod.Stop{Since: at(110), Grace: 10 * time.Second}, Busy: pod.Busy{Stopping: map[string]time.Time{"a": at(140)}}}, want: "stop a"},
		{name: "sidecars last", in: pod.Input{Pod: newPod("Always", side, "a"), Observed: observed("s1 running", "s2 running", "a running"), Stop: &pod.Stop{Since: at(110), Grace: 30 * time.Second}}, want: "stop a", wake: 140},
		{name: "in reverse", in: pod.Input{Pod: newPod("Always", side, "a"), Observed: observed("s1 running", "s2 running", "a exited 0"), Stop: &pod.Stop{Since: at(110), Grace: 30 * time.Second}}, want: "stop s2", wake: 140},
		{name: "all at the deadline", in: pod.Input{Pod: newPod("Always", side, "a"), Observed: observed("s1 running", "s2 running", "a running"), Stop: &pod.Stop{Since: at(80), Grace: 30 * time.Second}}, want: "stop s1; stop s2; stop a"},
		{name: "then the sandbox", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: observed("a exited 0"), Stop: &pod.Stop{Since: at(110)}}, want: "stop sandbox s0"},
		{name: "then all is stopped", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: notReady(observed("a exited 0")), Stop: &pod.Stop{Since: at(110)}}, stopped: true},
		{name: "but not while something is being started", in: pod.Input{Pod: newPod("Always", nil, "a"), Observed: notReady(observed()), Stop: &pod.Stop{Since: at(110)}, Busy: pod.Busy{Starting: map[string]bool{"a": true}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.in.Now = at(111)
			if tt.in.Stop != nil && tt.in.Stop.Since.Equal(at(110)) {
				tt.in.Now = at(110)
			}
			plan := pod.Decide(tt.in)
			var got []string
			for _, a := range plan.Actions {
				got = append(got, a.String())
			}
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("actions %q, want %q", s, tt.want)
			}
			if (plan.Finish != nil) != tt.finish {
				t.Errorf("finish %v, want %v", plan.Finish, tt.finish)
			}
			if plan.Stopped != tt.stopped {
				t.Errorf("stopped %v, want %v", plan.Stopped, tt.stopped)
			}
			var wake time.Time
			if tt.wake != 0 {
				wake = at(tt.wake)
			}
			if !plan.Wake.Equal(wake) {
				t.Errorf("wakes at %v, want %v", plan.Wake, wake)
			}
			waiting := ""
			for name, w := range plan.Waiting {
				waiting += name + " " + w.Reason + " " + w.Message
			}
			if waiting != tt.waiting {
				t.Errorf("waiting %q, want %q", waiting, tt.waiting)
			}
		})
	}
}

func TestActiveDeadline(t *testing.T) {
	t.Parallel()
	p := newPod("Always", nil, "a")
	p.Spec.ActiveDeadlineSeconds = ptr.To[int64](60)
	in := pod.Input{Pod: p, Observed: observed("a running"), Prepared: true, StartTime: at(0), Now: at(59)}
	if plan := pod.Decide(in); plan.Finish != nil || !plan.Wake.Equal(at(60)) {
		t.Errorf("before the deadline: %+v", plan)
	}
	in.Now = at(60)
	if plan := pod.Decide(in); plan.Finish == nil || plan.Finish.Reason != "DeadlineExceeded" {
		t.Errorf("at the deadline: %+v", plan)
	}
}

func TestRestartRules(t *testing.T) {
	t.Parallel()
	p := newPod("Never", nil, "a")
	c := &p.Spec.Containers[0]
	c.RestartPolicy = ptr.To(v1.ContainerRestartPolicyNever)
	c.RestartPolicyRules = []v1.ContainerRestartRule{{
		Action:    v1.ContainerRestartRuleActionRestart,
		ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
	}}
	if !pod.RestartsAfter(p, c, pod.App, 42) || pod.RestartsAfter(p, c, pod.App, 1) {
		t.Error("the rule for exit code 42 does not hold")
	}
	c.RestartPolicyRules[0].ExitCodes.Operator = v1.ContainerRestartRuleOnExitCodesOpNotIn
	if pod.RestartsAfter(p, c, pod.App, 42) || !pod.RestartsAfter(p, c, pod.App, 1) {
		t.Error("the rule for all but 42 does not hold")
	}
	c.RestartPolicyRules, c.RestartPolicy = nil, ptr.To(v1.ContainerRestartPolicyAlways)
	if !pod.RestartsAfter(p, c, pod.App, 0) {
		t.Error("the container's policy does not override the pod's")
	}
}

func TestHashIsStable(t *testing.T) {
	t.Parallel()
	// The value upstream has written to containers since v1.31. If it changes,
	// an upgrade restarts every container there is.
	c := v1.Container{Name: "test_container", Image: "foo/image:v1"}
	if h := cri.Hash(&c); h != 0x8e45cbd0 {
		t.Errorf("hash %x", h)
	}
	c.Env = []v1.EnvVar{{Name: "NEW", Value: "field"}}
	if h := cri.Hash(&c); h != 0x8e45cbd0 {
		t.Errorf("another field changes the hash: %x", h)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	var b pod.Backoff
	limits := pod.BackoffLimits{}
	now := at(0)
	var delays []time.Duration
	for range 8 {
		end := now.Add(time.Second)
		now = b.ReadyAt(end, limits)
		delays = append(delays, now.Sub(end))
		b = b.Next(end, now, limits)
	}
	want := []time.Duration{0, 10, 20, 40, 80, 160, 300, 300}
	for i := range want {
		if delays[i] != want[i]*time.Second {
			t.Errorf("delay %d is %v, want %vs", i, delays[i], int(want[i]))
		}
	}
	// Ten minutes of running, and the next crash is the first again.
	if end := now.Add(601 * time.Second); !b.ReadyAt(end, limits).Equal(end) {
		t.Error("a long run does not clear the history")
	}
}

// A resize changes a running container where it runs, or replaces it by its policy
// once its pod has room; what does not run, or is on its way, is left alone.
func TestResize(t *testing.T) {
	t.Parallel()
	sized := func(p *v1.Pod, cpu string) *v1.Pod {
		for i := range p.Spec.Containers {
			p.Spec.Containers[i].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}
		}
		return p
	}
	p := sized(newPod(v1.RestartPolicyNever, nil, "a", "b"), "2")
	p.Spec.Containers[1].ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceCPU, RestartPolicy: v1.RestartContainer}}
	given := resize.Of(sized(newPod(v1.RestartPolicyNever, nil, "a", "b"), "1"))
	in := pod.Input{Pod: p, Observed: observed("a running", "b running"), Prepared: true, Verdicts: started("a", "b"), Given: given, Now: at(200)}
	check := func(what string, actions string, names ...string) {
		t.Helper()
		plan := pod.Decide(in)
		var did []string
		for _, a := range plan.Actions {
			did = append(did, a.String())
		}
		if got := strings.Join(did, "; "); got != actions || !slices.Equal(plan.Resize, names) {
			t.Errorf("%s: %q and resize %q, want %q and %q", what, got, plan.Resize, actions, names)
		}
	}
	check("without room", "", "a")
	in.Room = true
	check("with room", "stop b: Container b resize requires restart", "a")
	in.Busy.Stopping = map[string]time.Time{"a": at(300), "b": at(300)}
	check("while both stop", "")
	in.Busy.Stopping = nil
	in.Given = resize.Of(p)
	check("done", "")
	in.Given, in.Stop = given, &pod.Stop{Since: at(200), Grace: time.Minute}
	if plan := pod.Decide(in); len(plan.Resize) > 0 {
		t.Errorf("a pod that ends is resized: %q", plan.Resize)
	}
}
