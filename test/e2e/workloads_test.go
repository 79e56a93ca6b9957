package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestWorkloads is what the controllers of pods make of a node: pods by number,
// by node and by completion. All share a cluster; each has its namespace.
func TestWorkloads(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for name, test := range map[string]func(*user){
		"daemon set":   testDaemonSet,
		"stateful set": testStatefulSet,
		"job":          testJob,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(c.user(t))
		})
	}
}

// workload is a manifest of an object named w that has a template of pods, with
// one container named c that runs a shell script. spec are lines of its spec,
// pod one of the template's.
func workload(apiVersion, kind, script, pod string, spec ...string) string {
	return fmt.Sprintf(`
apiVersion: %s
kind: %s
metadata: {name: w}
spec:
  %s
  template:
    metadata: {labels: {app: w}}
    spec:
      %s
      containers:
      - name: c
        image: proa.local/hello:1
        command: [sh, -c, %q]
`, apiVersion, kind, strings.Join(spec, "\n  "), pod, script)
}

const selector = "selector: {matchLabels: {app: w}}"

// rollout waits until a rollout is complete.
func (u *user) rollout(object string) {
	u.t.Helper()
	u.kubectl("rollout", "status", object, "--timeout=60s")
}

// images checks the images of the pods of the workload.
func (u *user) images(want string) {
	u.t.Helper()
	if got := u.kubectl("get", "pods", "-l", "app=w", "-o", "jsonpath={.items[*].spec.containers[0].image}"); got != want {
		u.t.Errorf("the pods run %q, want %q", got, want)
	}
}

func testDaemonSet(u *user) {
	u.apply(workload("apps/v1", "DaemonSet", forever, "", selector))
	u.rollout("ds/w")
	u.kubectl("set", "image", "ds/w", "c=proa.local/hello:2")
	u.rollout("ds/w")
	u.images("proa.local/hello:2")
	u.kubectl("rollout", "undo", "ds/w")
	u.rollout("ds/w")
	u.images("proa.local/hello:1")
	u.kubectl("delete", "ds", "w", "--cascade=foreground")
	u.images("")
}

func testStatefulSet(u *user) {
	u.apply(workload("apps/v1", "StatefulSet", forever, "", selector, "replicas: 2", "serviceName: w"))
	u.rollout("sts/w")
	for _, name := range []string{"w-0", "w-1"} {
		if got := strings.TrimSpace(u.sh(name, "hostname")); got != name {
			u.t.Errorf("%s calls itself %q", name, got)
		}
	}
	u.kubectl("set", "image", "sts/w", "c=proa.local/hello:2")
	u.rollout("sts/w")
	u.images("proa.local/hello:2 proa.local/hello:2")
	u.kubectl("scale", "sts/w", "--replicas=1")
	u.kubectl("wait", "--for=delete", "pod/w-1", "--timeout=60s")
	u.images("proa.local/hello:2")
}

func testJob(u *user) {
	u.apply(workload("batch/v1", "Job", "echo $JOB_COMPLETION_INDEX", "restartPolicy: Never", "completionMode: Indexed", "completions: 4", "parallelism: 2"))
	u.kubectl("wait", "job/w", "--for=condition=Complete", "--timeout=60s")
	lines := strings.Fields(u.kubectl("logs", "-l", "app=w"))
	slices.Sort(lines)
	if got := strings.Join(lines, " "); got != "0 1 2 3" {
		u.t.Errorf("the indexes were %q", got)
	}
	u.want([]string{"4 0-3"}, "get", "job", "w", "-o", "jsonpath={.status.succeeded} {.status.completedIndexes}")
	u.kubectl("delete", "job", "w", "--cascade=foreground")
	u.images("")
}
