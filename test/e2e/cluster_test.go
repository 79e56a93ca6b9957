package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"proa/runtime/runtimetest"
)

// patience bounds every single command: what takes longer hangs.
const patience = 90 * time.Second

// nodeAddress is that of every node: each has a network of its own.
const nodeAddress = "192.0.2.10"

var clusters atomic.Int32

// cluster is a Proa in a network namespace of its own.
type cluster struct {
	t     *testing.T
	bin   string // directory of the programs
	dir   string // holds the data directory "d"
	netns string
	flags []string
	// podCIDR is the range of all pods: a node's worth of it.
	podCIDR string
}

// newCluster makes the namespace and starts a cluster in it.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := newMachine(t)
	c.up()
	return c
}

// newMachine makes the namespace, in which nothing runs yet.
func newMachine(t *testing.T) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the end-to-end tests make containers and must run as root: use \"make test\"")
	}
	n := clusters.Add(1)
	name := fmt.Sprintf("pe%d-%d", os.Getpid(), n)
	// A short path: unix sockets below it must fit into 107 bytes.
	dir, err := os.MkdirTemp("", "pe")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, bin: programs(t), dir: dir, netns: name}
	c.podCIDR = fmt.Sprintf("10.%d.0.0/24", 150+n)
	c.flags = []string{
		"--data-dir", filepath.Join(dir, "d"), "--bridge", "pe0", "--pod-cidr", c.podCIDR,
		"--cgroup-root", "/" + name, "--node-name", "node", "--config", filepath.Join(dir, "config.yaml"),
	}
	t.Cleanup(c.remove)
	c.configure("")
	run(t, "ip", "netns", "add", name)
	run(t, "ip", "-n", name, "link", "set", "lo", "up")
	run(t, "ip", "-n", name, "link", "add", "up0", "type", "bridge")
	run(t, "ip", "-n", name, "addr", "add", nodeAddress+"/24", "dev", "up0")
	run(t, "ip", "-n", name, "link", "set", "up0", "up")
	return c
}

// configure writes the cluster's configuration: settings of the node agent as lines
// of YAML, and thresholds of eviction, lest a test depend on how full the machine's
// disk is.
func (c *cluster) configure(kubelet string) {
	c.t.Helper()
	const config = `node:
  kubelet:
    evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%, imagefs.inodesFree: 1%}
`
	if err := os.WriteFile(filepath.Join(c.dir, "config.yaml"), []byte(config+kubelet), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// programs is the directory with proa, the same as kubectl, and what they need
// beside them. Under the race detector kubectl is one without: it says so in its
// output.
func programs(t *testing.T) string {
	t.Helper()
	dir := runtimetest.BinDir(t)
	proa := filepath.Join(dir, "proa")
	if os.Getenv(runtimetest.BinDirEnv) == "" {
		run(t, "go", "build", "-o", proa, "proa/cmd/proa")
		run(t, "ln", "-sf", "proa", filepath.Join(dir, "kubectl"))
	}
	return dir
}

func (c *cluster) up() {
	c.t.Helper()
	args := append([]string{"up", "--keep-kubeconfig"}, c.flags...)
	if out, err := c.command("", filepath.Join(c.bin, "proa"), args...); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "d", "log", "proa.log"))
		c.t.Fatalf("proa up: %v\n%s\n%s", err, out, tail(string(log), 40))
	}
}

func (c *cluster) down(more ...string) {
	c.t.Helper()
	args := append(append([]string{"down"}, c.flags...), more...)
	if out, err := c.command("", filepath.Join(c.bin, "proa"), args...); err != nil {
		c.t.Errorf("proa down: %v\n%s", err, out)
	}
}

// remove takes away all that the test has made.
func (c *cluster) remove() {
	if c.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(c.dir, "d", "log", "proa.log"))
		c.t.Logf("end of the server's log:\n%s", tail(string(log), 30))
	}
	if _, err := os.Stat(filepath.Join(c.dir, "d")); err == nil {
		c.down()
		c.checkLog()
		c.down("--purge")
	}
	if out, err := exec.Command("ip", "netns", "del", c.netns).CombinedOutput(); err != nil {
		c.t.Errorf("remove the network namespace: %v: %s", err, out)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}

// checkLog looks for what the race detector, and the guard of the cache that goes
// with it, say of a program that was built with them.
func (c *cluster) checkLog() {
	log, err := os.ReadFile(filepath.Join(c.dir, "d", "log", "proa.log"))
	if err != nil {
		return // nothing was started
	}
	for _, sign := range []string{"WARNING: DATA RACE", "changed in place"} {
		if i := strings.Index(string(log), sign); i >= 0 {
			c.t.Errorf("the server's log:\n%s", log[i:min(len(log), i+6000)])
		}
	}
}

// pid of the server.
func (c *cluster) pid() int {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, "d", "proa.lock"))
	if err != nil {
		c.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		c.t.Fatal(err)
	}
	return pid
}

// command runs a program inside the network namespace. Only the network is
// another: cgroups and mounts are the machine's.
func (c *cluster) command(stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := c.inside(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// What a killed command has started may hold the pipe open.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return out.String(), err
}

// inside is a program in the network namespace, to be started.
func (c *cluster) inside(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/run/netns/" + c.netns, name}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig(), "HOME="+c.dir)
	return cmd
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "d", "admin.kubeconfig") }

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
