package e2e

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

func testPostStart(u *user) {
	u.apply(onePod(forever, `lifecycle: {postStart: {exec: {command: [sh, -c, "echo hooked > /tmp/hook"]}}}`, ""))
	u.pod("p", "ready", ready)
	if out := u.sh("p", "cat /tmp/hook"); out != "hooked\n" {
		u.t.Errorf("the hook left %q", out)
	}
	bad := onePod(forever, `lifecycle: {postStart: {exec: {command: [sh, -c, "echo cannot; exit 9"]}}}`, "restartPolicy: Never")
	u.apply(strings.Replace(bad, "name: p,", "name: bad,", 1))
	u.event("bad", "FailedPostStartHook", "PostStartHook failed")
	u.pod("bad", "ended", func(p *corev1.Pod) bool { return container(p, "c").State.Terminated != nil })
}

func testStartupProbe(u *user) {
	u.apply(onePod(forever, `startupProbe: {exec: {command: [cat, /tmp/started]}, periodSeconds: 1, failureThreshold: 100}
    readinessProbe: {exec: {command: [sh, -c, "touch /tmp/asked"]}, periodSeconds: 1}
    livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1000}`, "terminationGracePeriodSeconds: 0"))
	u.event("p", "Unhealthy", "Startup probe failed")
	p := u.pod("p", "running", func(p *corev1.Pod) bool { return container(p, "c").State.Running != nil })
	if s := container(p, "c"); s.Started == nil || *s.Started || s.Ready {
		u.t.Errorf("started before its probe has succeeded: %+v", s)
	}
	if out := u.sh("p", "ls /tmp"); strings.Contains(out, "asked") {
		u.t.Error("the readiness probe ran before the startup probe had succeeded")
	}
	u.sh("p", "touch /tmp/started")
	u.pod("p", "ready", ready)
	// One that never starts is killed.
	never := onePod("sleep 3600", `startupProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 2}`, "terminationGracePeriodSeconds: 0\n  restartPolicy: Never")
	u.apply(strings.Replace(never, "name: p,", "name: never,", 1))
	u.event("never", "Killing", "Container c failed startup probe")
	u.pod("never", "failed", phase(corev1.PodFailed))
}

func testLiveness(u *user) {
	u.apply(onePod("touch /tmp/alive; "+forever, `livenessProbe: {exec: {command: [cat, /tmp/alive]}, periodSeconds: 1, failureThreshold: 2}`, "terminationGracePeriodSeconds: 0"))
	first := container(u.pod("p", "ready", ready), "c").ContainerID
	u.sh("p", "rm /tmp/alive")
	p := u.pod("p", "restarted", func(p *corev1.Pod) bool { return container(p, "c").RestartCount == 1 && ready(p) })
	if container(p, "c").ContainerID == first {
		u.t.Error("the container is the same")
	}
	u.event("p", "Unhealthy", "Liveness probe failed: cat: can't open '/tmp/alive'")
	u.event("p", "Killing", "Container c failed liveness probe, will be restarted")
}

// testReadiness: a pod that is not ready is not among those that a service
// sends to.
func testReadiness(u *user) {
	u.apply(onePod(forever, `readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
    ports: [{containerPort: 80}]`, "terminationGracePeriodSeconds: 0"))
	u.kubectl("expose", "pod", "p", "--port=80")
	lw := cache.NewFilteredListWatchFromClient(u.api.DiscoveryV1().RESTClient(), "endpointslices", u.namespace, func(o *metav1.ListOptions) {
		o.LabelSelector = labels.Set{discoveryv1.LabelServiceName: "p"}.String()
	})
	endpoint := func(isReady bool) {
		u.t.Helper()
		want := "without ready endpoints"
		if isReady {
			want = "with a ready endpoint"
		}
		await(u, "the slice of p", want, lw, &discoveryv1.EndpointSlice{}, func(s *discoveryv1.EndpointSlice) bool {
			return len(s.Endpoints) == 1 && s.Endpoints[0].Conditions.Ready != nil && *s.Endpoints[0].Conditions.Ready == isReady
		})
	}
	endpoint(false)
	u.pod("p", "running", phase(corev1.PodRunning))
	u.sh("p", "touch /tmp/ready")
	endpoint(true)
	u.pod("p", "ready", ready)
	u.want([]string{":80"}, "get", "endpoints", "p")
	u.sh("p", "rm /tmp/ready")
	endpoint(false)
	u.event("p", "Unhealthy", "Readiness probe failed")
	p := u.pod("p", "not ready", func(p *corev1.Pod) bool { return !ready(p) })
	if container(p, "c").RestartCount != 0 {
		u.t.Error("a pod that is not ready was restarted")
	}
}
