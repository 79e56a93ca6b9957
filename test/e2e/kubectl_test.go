package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestKubectl is what is typed at a kubectl and goes on for a while, or needs
// more than the API: watches, streams, terminals, editors, copies. It runs with
// the project's own kubectl and with the one that is installed, and streams by
// WebSocket, which both prefer, and by SPDY, which older ones speak.
func TestKubectl(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clients := map[string][]string{"own": {filepath.Join(c.bin, "kubectl")}}
	if path, err := exec.LookPath("kubectl"); err == nil {
		clients["installed"] = []string{path}
	} else {
		t.Log("no kubectl is installed: only the project's own is tested")
	}
	for name, program := range clients {
		for protocol, on := range map[string]string{"websocket": "true", "spdy": "false"} {
			with := append([]string{"env", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=" + on, "KUBECTL_PORT_FORWARD_WEBSOCKETS=" + on}, program...)
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				u := c.user(t)
				u.program = with
				testStreams(u)
			})
		}
		for what, test := range map[string]func(*user){
			"watch and logs": testWatchAndLogs, "edit": testEdit, "rollout": testRollout, "prune": testPrune, "proxy": testProxy,
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				u := c.user(t)
				u.program = program
				test(u)
			})
		}
	}
}

func testStreams(u *user) {
	// A web server, and beside it a shell that repeats what it is told.
	u.apply(`
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: "proa.local/hello:1", readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}}
  - {name: echo, image: "proa.local/hello:1", stdin: true, command: [sh, -c, "while read x; do echo heard $x; done; sleep 3600"]}
`)
	u.pod("p", "ready", ready)

	sh := u.terminal("exec", "-it", "p", "-c", "web", "--", "sh")
	sh.expect("# ")
	// The terminal's size is sent once the shell runs, so it may be there first.
	sh.typed(`until [ "$(stty size)" = "24 80" ]; do sleep 0.1; done; echo si""zed` + "\n")
	sh.expect("sized")
	sh.resize(50, 132)
	sh.typed(`until [ "$(stty size)" = "50 132" ]; do sleep 0.1; done; echo re""sized` + "\n")
	sh.expect("resized")
	sh.typed(`sh -c 'echo run""ning; exec sleep 3600'` + "\n")
	sh.expect("running") // now it is what an interrupt goes to
	sh.typed("\x03")
	sh.expect("# ")
	sh.typed("exit 7\n")
	if code := sh.wait(); code != 7 {
		u.t.Errorf("exit code %d of the shell:\n%s", code, sh.all())
	}

	// Output and errors are apart, and much of it comes through whole.
	out := u.kubectl("exec", "p", "-c", "web", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end")
	if len(out) != 3000004 || !strings.HasSuffix(out, "xend\n") {
		u.t.Errorf("%d bytes came back", len(out))
	}

	a := u.start("attach", "-i", "p", "-c", "echo")
	a.typed("one\n")
	a.expect("heard one")
	a.typed("two\n")
	a.expect("heard two")
	if err := a.in.Close(); err != nil {
		u.t.Error(err)
	}

	url, end := u.forward("pod/p")
	for range 3 {
		u.fetch(url)
	}
	end()

	testCopy(u)
}

// forward opens the port 8080 of a pod on the user's machine, until end.
func (u *user) forward(pod string) (url string, end func()) {
	u.t.Helper()
	f := u.start("port-forward", pod, ":8080")
	f.expect("Forwarding from 127.0.0.1:")
	port := regexp.MustCompile(`^\d+`).FindString(f.expect(" -> 8080"))
	return "http://127.0.0.1:" + port + "/", func() {
		f.interrupt()
		f.wait()
	}
}

// testCopy copies a folder there and back.
func testCopy(u *user) {
	u.t.Helper()
	from, to := u.t.TempDir(), filepath.Join(u.t.TempDir(), "back")
	if err := os.MkdirAll(filepath.Join(from, "sub"), 0o755); err != nil {
		u.t.Fatal(err)
	}
	files := map[string]string{"a": "a file", "sub/empty": "", "sub/large": strings.Repeat("0123456789", 100_000)}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(from, name), []byte(content), 0o640); err != nil {
			u.t.Fatal(err)
		}
	}
	u.kubectl("cp", from, "p:/tmp/there", "-c", "web")
	u.kubectl("cp", "p:/tmp/there", to, "-c", "web")
	for name, content := range files {
		if b, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(b) != content {
			u.t.Errorf("%s came back with %d bytes of %d: %v", name, len(b), len(content), err)
		}
	}
}

func testWatchAndLogs(u *user) {
	w := u.start("get", "pods", "-o", "wide", "-w")
	u.apply(onePod("echo first; until [ -e /tmp/on ]; do sleep 0.1; done; echo last", "", "restartPolicy: Never"))
	// What comes before depends on when the watch has begun.
	w.expect("NOMINATED NODE")
	w.expect("Running")
	u.pod("p", "running", phase(corev1.PodRunning))
	l := u.start("logs", "-f", "p")
	l.expect("first\n")
	u.sh("p", "touch /tmp/on")
	l.expect("last\n")
	if code := l.wait(); code != 0 || l.all() != "first\nlast\n" {
		u.t.Errorf("logs -f ended with %d and printed %q", code, l.all())
	}
	w.expect("Completed")
	if out := u.kubectl("logs", "p", "--tail=1"); out != "last\n" {
		u.t.Errorf("--tail=1: %q", out)
	}
	if out := u.kubectl("logs", "p", "--limit-bytes=5"); out != "first" {
		u.t.Errorf("--limit-bytes=5: %q", out)
	}
	if out := u.kubectl("logs", "p", "--timestamps"); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+Z first\n`).MatchString(out) {
		u.t.Errorf("--timestamps: %q", out)
	}
	if out, err := u.try("", "logs", "p", "--previous"); err == nil || !strings.Contains(out, `previous terminated container "c" in pod "p" not found`) {
		u.t.Errorf("--previous: %v %s", err, out)
	}
	u.kubectl("delete", "pod", "p")
	w.interrupt()
	w.wait()
}

func testEdit(u *user) {
	u.kubectl("create", "configmap", "cm", "--from-literal=a=before")
	editor := filepath.Join(u.t.TempDir(), "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\nsed -i s/before/after/ \"$1\"\n"), 0o755); err != nil {
		u.t.Fatal(err)
	}
	u.program = append([]string{"env", "KUBE_EDITOR=" + editor}, u.program...)
	u.want([]string{"configmap/cm edited"}, "edit", "configmap", "cm")
	if out := u.kubectl("get", "configmap", "cm", "-o", "jsonpath={.data.a}"); out != "after" {
		u.t.Errorf("the edit left %q", out)
	}
	u.want([]string{"Edit cancelled, no changes made"}, "edit", "configmap", "cm")
}

func testRollout(u *user) {
	u.kubectl("create", "deployment", "d", "--image=proa.local/hello:1", "--replicas=2")
	u.want([]string{"successfully rolled out"}, "rollout", "status", "deployment/d", "--timeout=80s")
	u.want([]string{"deployment.apps/d restarted"}, "rollout", "restart", "deployment/d")
	u.want([]string{"successfully rolled out"}, "rollout", "status", "deployment/d", "--timeout=80s")
	u.want([]string{"2         <none>"}, "rollout", "history", "deployment/d")
	u.want([]string{"deployment.apps/d paused"}, "rollout", "pause", "deployment/d")
	u.kubectl("set", "image", "deployment/d", "hello=proa.local/hello:2")
	if out, err := u.try("", "rollout", "undo", "deployment/d"); err == nil || !strings.Contains(out, "you cannot rollback a paused deployment") {
		u.t.Errorf("undo while paused: %v %s", err, out)
	}
	u.kubectl("wait", "deployment/d", "--for=jsonpath={.status.observedGeneration}="+strings.TrimSpace(u.kubectl("get", "deployment", "d", "-o", "jsonpath={.metadata.generation}")), "--timeout=80s")
	if out := u.kubectl("get", "replicasets", "-o", "name"); strings.Count(out, "replicaset") != 2 {
		u.t.Errorf("a paused deployment rolls out: %s", out)
	}
	u.want([]string{"deployment.apps/d resumed"}, "rollout", "resume", "deployment/d")
	u.want([]string{"successfully rolled out"}, "rollout", "status", "deployment/d", "--timeout=80s")
	u.want([]string{"proa.local/hello:2"}, "get", "pods", "-l", "app=d", "-o", "jsonpath={.items[*].spec.containers[0].image}")
	u.want([]string{"condition met"}, "wait", "--for=condition=Available", "deployment/d", "--timeout=80s")
	u.kubectl("delete", "deployment", "d", "--cascade=foreground")
	if out := u.kubectl("get", "replicasets,pods", "-o", "name"); out != "" {
		u.t.Errorf("left after a foreground deletion: %s", out)
	}
}

func testPrune(u *user) {
	const one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, labels: {set: x}}\n"
	both := fmt.Sprintf(one, "a") + "---\n" + fmt.Sprintf(one, "b")
	args := []string{"apply", "--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap", "-f", "-"}
	u.feed(both, args...)
	if out := u.feed(fmt.Sprintf(one, "a"), args...); !strings.Contains(out, "configmap/b pruned") {
		u.t.Errorf("prune: %s", out)
	}
	if out := u.kubectl("get", "configmaps", "-l", "set=x", "-o", "name"); out != "configmap/a\n" {
		u.t.Errorf("left: %s", out)
	}
}

func testProxy(u *user) {
	p := u.start("proxy", "--port=0")
	p.expect("Starting to serve on ")
	address := strings.TrimSpace(p.expect("\n"))
	client := http.Client{Transport: &http.Transport{DialContext: u.dial, DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("http://" + address + "/api/v1/namespaces/" + u.namespace + "/configmaps")
	if err != nil {
		u.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(b), `"kind": "ConfigMapList"`) && !strings.Contains(string(b), `"kind":"ConfigMapList"`) {
		u.t.Errorf("%s %v %s", resp.Status, err, b)
	}
	p.interrupt()
	p.wait()
}
