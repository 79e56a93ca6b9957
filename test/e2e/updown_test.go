package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpAndDown is what a user does with a cluster as a whole, on a machine on
// which others have their things.
func TestUpAndDown(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	proa := filepath.Join(c.bin, "proa")
	config := filepath.Join(c.dir, "kubeconfig")
	call := func(args ...string) string {
		t.Helper()
		line := append([]string{"KUBECONFIG=" + config, proa, args[0]}, append(append([]string{}, args[1:]...), c.flags...)...)
		if args[0] == "status" { // finds its cluster by the directory
			line = append([]string{"KUBECONFIG=" + config, proa, "status"}, c.flags[:2]...)
		}
		out, err := c.command("", "env", line...)
		if err != nil {
			t.Fatalf("proa %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	says := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in:\n%s", w, out)
			}
		}
	}
	was := foreignThings(t)

	says(call("up"), "The cluster is ready", `Context "proa" is in `+config, "Next:")
	pid := c.pid()
	says(call("up"), "is running already")
	if c.pid() != pid {
		t.Error("the second up has started another server")
	}
	says(call("status"), "process", "https://127.0.0.1:6443", "node (Ready)")
	says(call("down"), "The cluster has stopped.")
	leavesNothing(t, c)
	says(call("down"), "No cluster was running")
	says(call("up"), "The cluster is ready")

	// Down finds what a server that was killed has left.
	c.typist(t, "default").kubectl("apply", "-f", example(t, "hello-pod.yaml"))
	c.typist(t, "default").kubectl("wait", "--for=condition=Ready", "pod/hello", "--timeout=60s")
	c.kill()
	says(call("down", "--purge"), "No cluster was running; what one may have left has been removed.")
	leavesNothing(t, c)
	if _, err := os.Stat(filepath.Join(c.dir, "d")); !os.IsNotExist(err) {
		t.Errorf("the data is left: %v", err)
	}
	if b, err := os.ReadFile(config); err != nil || strings.Contains(string(b), "proa") {
		t.Errorf("the context is left: %s %v", b, err)
	}
	if now := foreignThings(t); now != was {
		t.Errorf("what others have was\n%s\nand is\n%s", was, now)
	}
}

// foreignThings describes what a Docker or containerd of the machine would have:
// its sockets and CNI files.
func foreignThings(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"/etc/cni/net.d", "/etc/cni/net.d/*", "/opt/cni/bin/*", "/run/containerd/containerd.sock", "/run/docker.sock", "/var/lib/containerd", "/var/lib/kubelet"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			st, err := os.Lstat(f)
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(f + " " + st.Mode().String() + " " + st.ModTime().String() + "\n")
		}
	}
	return all.String()
}
