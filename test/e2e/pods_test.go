package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestPods is the life of pods on a real node: how they start, fail, are
// probed, restarted and ended. All share a cluster; each has its namespace.
func TestPods(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for name, test := range map[string]func(*user){
		"crash loop":           testCrashLoop,
		"restart policies":     testRestartPolicies,
		"image not to be had":  testImagePull,
		"init containers":      testInitContainers,
		"sidecars":             testSidecars,
		"postStart":            testPostStart,
		"startup probe":        testStartupProbe,
		"liveness probe":       testLiveness,
		"readiness probe":      testReadiness,
		"graceful end":         testGracefulEnd,
		"end within the grace": testGraceBounds,
		"forced end":           testForce,
		"eviction":             testEviction,
		"resources":            testResources,
		"volume updates":       testVolumeUpdates,
		"subPath":              testSubPath,
		"projected token":      testProjectedToken,
		"host network":         testHostNetwork,
		"host port":            testHostPort,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(c.user(t))
		})
	}
}

// onePod is a manifest of a pod named p with one container named c that runs a
// shell script. more is put into the container, spec into the pod's spec, both
// as lines of YAML in flow style.
func onePod(script, more, spec string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  %s
  containers:
  - name: c
    image: proa.local/hello:1
    command: [sh, -c, %q]
    %s
`, spec, script, more)
}

// forever is a script that ends when it is told to.
const forever = "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"

func testCrashLoop(u *user) {
	u.apply(onePod("echo run; exit 3", "", ""))
	p := u.pod("p", "in its first back-off", func(p *corev1.Pod) bool {
		return waits(p, "c", "CrashLoopBackOff") && container(p, "c").RestartCount == 1
	})
	s := container(p, "c")
	if want := fmt.Sprintf("back-off 10s restarting failed container=c pod=p_%s(%s)", u.namespace, p.UID); s.State.Waiting.Message != want {
		u.t.Errorf("message %q, want %q", s.State.Waiting.Message, want)
	}
	last := s.LastTerminationState.Terminated
	if last == nil || last.ExitCode != 3 || last.Reason != "Error" || last.ContainerID == "" || s.Ready || s.Started == nil || *s.Started {
		u.t.Errorf("status %+v", s)
	}
	if p.Status.Phase != corev1.PodRunning {
		u.t.Errorf("phase %s", p.Status.Phase)
	}
	u.want([]string{"CrashLoopBackOff", "0/1"}, "get", "pod", "p")
	u.want([]string{"run"}, "logs", "p", "--previous")
	u.event("p", "BackOff", fmt.Sprintf("Back-off restarting failed container c in pod p_%s(%s)", u.namespace, p.UID))
	next := u.pod("p", "in its second back-off", func(p *corev1.Pod) bool {
		return waits(p, "c", "CrashLoopBackOff") && container(p, "c").RestartCount == 2
	})
	again := container(next, "c")
	if !strings.HasPrefix(again.State.Waiting.Message, "back-off 20s restarting") {
		u.t.Errorf("second message %q", again.State.Waiting.Message)
	}
	if gap := again.LastTerminationState.Terminated.StartedAt.Sub(last.FinishedAt.Time); gap.Seconds() < 9 {
		u.t.Errorf("restarted after %v, before the back-off of 10s was over", gap)
	}
}

func testRestartPolicies(u *user) {
	for _, tt := range []struct {
		name, policy, script string
		phase                corev1.PodPhase
		reason               string
		restarts             int32
	}{
		{"never-good", "Never", "exit 0", corev1.PodSucceeded, "Completed", 0},
		{"never-bad", "Never", "exit 5", corev1.PodFailed, "Error", 0},
		{"failure-good", "OnFailure", "exit 0", corev1.PodSucceeded, "Completed", 0},
		// Fails once: the volume outlives the container.
		{"failure-bad", "OnFailure", "[ -e /v/again ] && exit 0; touch /v/again; exit 1", corev1.PodSucceeded, "Completed", 1},
		{"always-good", "Always", "[ -e /v/again ] && exec sleep 3600; touch /v/again", corev1.PodRunning, "", 1},
	} {
		u.apply(strings.Replace(onePod(tt.script, "volumeMounts: [{name: v, mountPath: /v}]",
			"terminationGracePeriodSeconds: 0\n  volumes: [{name: v, emptyDir: {}}]\n  restartPolicy: "+tt.policy), "name: p,", "name: "+tt.name+",", 1))
	}
	check := func(name string, want corev1.PodPhase, reason string, restarts int32) {
		u.t.Helper()
		p := u.pod(name, string(want), func(p *corev1.Pod) bool {
			s := container(p, "c")
			return p.Status.Phase == want && s.RestartCount == restarts && (s.State.Running != nil) == (want == corev1.PodRunning)
		})
		if e := container(p, "c").State.Terminated; reason != "" && (e == nil || e.Reason != reason) {
			u.t.Errorf("%s: %+v, want reason %s", name, container(p, "c").State, reason)
		}
	}
	check("never-good", corev1.PodSucceeded, "Completed", 0)
	check("never-bad", corev1.PodFailed, "Error", 0)
	check("failure-good", corev1.PodSucceeded, "Completed", 0)
	check("failure-bad", corev1.PodSucceeded, "Completed", 1)
	check("always-good", corev1.PodRunning, "", 1)
}

func testImagePull(u *user) {
	// Nothing listens on that port of loopback.
	const image = "127.0.0.1:1/none:1"
	u.apply(strings.Replace(onePod("true", "", ""), "proa.local/hello:1", image, 1))
	p := u.pod("p", "backing off", func(p *corev1.Pod) bool { return waits(p, "c", "ImagePullBackOff") })
	if m := container(p, "c").State.Waiting.Message; !strings.HasPrefix(m, `Back-off pulling image "`+image+`"`) {
		u.t.Errorf("message %q", m)
	}
	if p.Status.Phase != corev1.PodPending {
		u.t.Errorf("phase %s", p.Status.Phase)
	}
	u.event("p", "Pulling", `Pulling image "`+image+`"`)
	u.event("p", "Failed", `Failed to pull image "`+image+`"`)
	u.event("p", "Failed", "Error: ErrImagePull")
	u.event("p", "BackOff", `Back-off pulling image "`+image+`"`)
	never := strings.Replace(onePod("true", "imagePullPolicy: Never", ""), "name: p,", "name: never,", 1)
	u.apply(strings.Replace(never, "proa.local/hello:1", "proa.local/none:1", 1))
	p = u.pod("never", "told why", func(p *corev1.Pod) bool { return waits(p, "c", "ErrImageNeverPull") })
	if m := container(p, "c").State.Waiting.Message; m != `Container image "proa.local/none:1" is not present with pull policy of Never` {
		u.t.Errorf("message %q", m)
	}
	bad := strings.Replace(onePod("true", "", ""), "name: p,", "name: bad,", 1)
	u.apply(strings.Replace(bad, "proa.local/hello:1", "Not!An:Image", 1))
	u.pod("bad", "told why", func(p *corev1.Pod) bool { return waits(p, "c", "InvalidImageName") })
}

func testInitContainers(u *user) {
	const init = `initContainers:
  - {name: one, image: "proa.local/hello:1", command: [sh, -c, "echo one >> /v/order"], volumeMounts: [{name: v, mountPath: /v}]}
  - {name: two, image: "proa.local/hello:1", command: [sh, -c, "echo two >> /v/order; %s"], volumeMounts: [{name: v, mountPath: /v}]}
  volumes: [{name: v, emptyDir: {}}]
  terminationGracePeriodSeconds: 0
  restartPolicy: %s`
	mount := "volumeMounts: [{name: v, mountPath: /v}]"
	pod := func(name, script, policy string) string {
		return strings.Replace(onePod(forever, mount, fmt.Sprintf(init, script, policy)), "name: p,", "name: "+name+",", 1)
	}
	u.apply(pod("good", "true", "Always"))
	u.apply(pod("never", "exit 4", "Never"))
	u.apply(pod("loop", "exit 4", "Always"))
	u.pod("good", "ready", ready)
	if out := u.sh("good", "cat /v/order"); out != "one\ntwo\n" {
		u.t.Errorf("the order was %q", out)
	}
	p := u.pod("never", "failed", phase(corev1.PodFailed))
	if e := container(p, "two").State.Terminated; e == nil || e.ExitCode != 4 {
		u.t.Errorf("two: %+v", container(p, "two").State)
	}
	if !waits(p, "c", "PodInitializing") {
		u.t.Errorf("c: %+v", container(p, "c").State)
	}
	u.want([]string{"Init:Error"}, "get", "pod", "never")
	p = u.pod("loop", "in its back-off", func(p *corev1.Pod) bool { return waits(p, "two", "CrashLoopBackOff") })
	if one := container(p, "one"); one.RestartCount != 0 || !one.Ready || one.State.Terminated == nil || one.State.Terminated.Reason != "Completed" {
		u.t.Errorf("one: %+v", one)
	}
	if p.Status.Phase != corev1.PodPending {
		u.t.Errorf("phase %s", p.Status.Phase)
	}
	// Meanwhile it may run once more.
	eventually(u.t, func() string {
		if out := u.kubectl("get", "pod", "loop"); !strings.Contains(out, "Init:CrashLoopBackOff") {
			return "kubectl shows no back-off: " + out
		}
		return ""
	})
}

// testSidecars: a sidecar is there before the main container begins and until
// it has ended, and does not keep the pod from finishing.
func testSidecars(u *user) {
	u.apply(onePod("cat /v/sidecar; echo main > /v/main", "volumeMounts: [{name: v, mountPath: /v}]", `restartPolicy: Never
  volumes: [{name: v, emptyDir: {}}]
  initContainers:
  - name: side
    image: proa.local/hello:1
    restartPolicy: Always
    command: [sh, -c, "trap 'cat /v/main; exit 0' TERM; echo from the sidecar > /v/sidecar; while :; do sleep 3600 & wait; done"]
    startupProbe: {exec: {command: [cat, /v/sidecar]}, periodSeconds: 1}
    volumeMounts: [{name: v, mountPath: /v}]`))
	p := u.pod("p", "finished", phase(corev1.PodSucceeded))
	if s := container(p, "side"); s.State.Terminated == nil || s.RestartCount != 0 {
		u.t.Errorf("the sidecar: %+v", s)
	}
	u.want([]string{"from the sidecar"}, "logs", "p", "-c", "c")
	u.want([]string{"main"}, "logs", "p", "-c", "side")
	u.want([]string{"Completed"}, "get", "pod", "p")
}
