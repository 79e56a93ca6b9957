package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a long-running part in the namespace of a cluster.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs proa with these arguments until the test ends.
func (c *cluster) start(name string, args ...string) *process {
	c.t.Helper()
	p := &process{t: c.t, log: filepath.Join(c.dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command("nsenter", append([]string{"--net=/run/netns/" + c.netns, filepath.Join(c.bin, "proa")}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	c.t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if c.t.Failed() {
			log, _ := os.ReadFile(p.log)
			c.t.Logf("end of the log of %s:\n%s", name, tail(string(log), 15))
		}
	})
	return p
}

// end sends a signal and waits until the process is gone.
func (p *process) end(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.cmd.Args)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// eventually calls f until it returns "", or fails with what it says. It is for
// what nothing can be waited for.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		why := f()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(why)
		}
	}
}

// works calls kubectl until it succeeds, and returns what it prints.
func (u *user) works(args ...string) (out string) {
	u.t.Helper()
	eventually(u.t, func() (why string) {
		var err error
		if out, err = u.try("", args...); err != nil {
			return strings.Join(args, " ") + ": " + out
		}
		return ""
	})
	return out
}

// TestParts runs every part as a process of its own, each with its own
// credentials, and ends the scheduler that works.
func TestParts(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	u := c.typist(t, "default")
	dir := filepath.Join(c.dir, "d")
	file := func(name string) string { return filepath.Join(dir, name+".kubeconfig") }
	c.start("apiserver", append([]string{"apiserver"}, c.flags...)...)
	u.works("get", "--raw", "/readyz")
	c.start("controller-manager", "controller-manager", "--kubeconfig", file("controller-manager"), "--cluster-cidr", c.podCIDR,
		"--cluster-signing-cert-file", filepath.Join(dir, "pki", "ca.crt"), "--cluster-signing-key-file", filepath.Join(dir, "pki", "ca.key"))
	first := c.start("scheduler", "scheduler", "--kubeconfig", file("scheduler"))
	leader := u.works("get", "lease", "-n", "kube-system", "kube-scheduler", "-o", "jsonpath={.spec.holderIdentity}")
	c.start("scheduler2", "scheduler", "--kubeconfig", file("scheduler"), "--secure-port", "10260")

	// A node with its own data directory, as on another machine.
	node := append([]string{}, c.flags...)
	node[1] = filepath.Join(c.dir, "a")
	t.Cleanup(func() {
		if out, err := c.command("", filepath.Join(c.bin, "proa"), append([]string{"down", "--purge"}, node...)...); err != nil {
			t.Errorf("proa down: %v\n%s", err, out)
		}
	})
	c.start("agent", append([]string{"agent", "--kubeconfig", file("kubelet")}, node...)...)
	u.kubectl("wait", "--for=create", "node/node", "--timeout=60s")
	u.kubectl("wait", "--for=condition=Ready", "node/node", "--timeout=60s")
	u.kubectl("apply", "-f", example(t, "hello-deployment.yaml"))
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")

	// Logs come over a connection that is verified both ways, with the serving
	// certificate that the node has asked for.
	u.works("logs", "deployment/hello")
	u.want([]string{"kubernetes.io/kubelet-serving", "Approved,Issued"}, "get", "csr")
	// The controllers are accounts of their own.
	u.want([]string{"deployment-controller", "replicaset-controller", "certificate-controller"}, "get", "serviceaccounts", "-n", "kube-system")

	for _, port := range []string{"10257", "10259", "10260"} {
		at := []string{"--server=https://127.0.0.1:" + port, "--insecure-skip-tls-verify"}
		u.want([]string{"ok"}, append(at, "--kubeconfig=/dev/null", "--token=nobody", "get", "--raw", "/healthz")...)
		u.want([]string{"leader_election_master_status{", "rest_client_requests_total"}, append(at, "get", "--raw", "/metrics")...)
		if out, err := u.try("", append(at, "--kubeconfig=/dev/null", "--token=nobody", "get", "--raw", "/metrics")...); err == nil || !strings.Contains(out, "asked for the client to provide credentials") {
			t.Errorf("anybody reads the metrics of port %s: %v %s", port, err, out)
		}
	}

	// The one that stands by takes over when the lease of the other is over.
	first.end(syscall.SIGKILL)
	u.kubectl("scale", "deployment/hello", "--replicas=4")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	if now := u.kubectl("get", "lease", "-n", "kube-system", "kube-scheduler", "-o", "jsonpath={.spec.holderIdentity}"); now == leader {
		t.Errorf("pods were scheduled, and %s still holds the lease", now)
	}
}
