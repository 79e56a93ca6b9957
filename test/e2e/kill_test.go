package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kills is how often TestKill kills the server: a few times in every run, as
// often as PROA_KILLS says in a long one.
func kills(t *testing.T) int {
	s := os.Getenv("PROA_KILLS")
	if s == "" {
		return 4
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("PROA_KILLS: %v", err)
	}
	return n
}

// TestKill kills the whole process while it is written to. What was
// acknowledged is there afterwards, and what ran goes on running.
func TestKill(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.kubectl("apply", "-f", example(t, "hello-deployment.yaml"))
	c.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	running := containers(c)
	if len(strings.Fields(running)) != 3 {
		t.Fatalf("running: %q", running)
	}
	var acknowledged []string
	for round := range kills(t) {
		acknowledged = append(acknowledged, killWhileWriting(t, c, round)...)
		c.up()
		if now := containers(c); now != running {
			t.Fatalf("round %d: containers were restarted:\n%s\nwere\n%s", round, now, running)
		}
	}
	have := map[string]bool{}
	for name := range strings.FieldsSeq(c.kubectl("get", "configmaps", "-o", "name")) {
		have[strings.TrimPrefix(name, "configmap/")] = true
	}
	for _, name := range acknowledged {
		if !have[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was written while the server was killed")
	}
	// It still works.
	c.kubectl("scale", "deployment/hello", "--replicas=1")
	c.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
}

// killWhileWriting writes until the server is dead, which is killed when some
// writes have been acknowledged, and returns those that were.
func killWhileWriting(t *testing.T, c *cluster, round int) []string {
	t.Helper()
	pid := c.pid()
	var mu sync.Mutex
	var done []string
	var writers sync.WaitGroup
	enough := make(chan struct{})
	var once sync.Once
	for w := range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("k%d-%d-%d", round, w, i)
				if _, err := c.try("", "create", "configmap", name, "--from-literal=a=b", "--request-timeout=10s"); err != nil {
					return
				}
				mu.Lock()
				done = append(done, name)
				if len(done) > 2+round {
					once.Do(func() { close(enough) })
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(patience):
		t.Fatal("writes are not acknowledged")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	return done
}

// containers are the ids of all containers and how often they were restarted.
func containers(c *cluster) string {
	return c.kubectl("get", "pods", "-l", "app=hello", "-o",
		`jsonpath={range .items[*]}{.status.containerStatuses[0].containerID}/{.status.containerStatuses[0].restartCount}{"\n"}{end}`)
}

// leavesNothing checks that a cluster that is down has left nothing running,
// mounted or configured.
func leavesNothing(t *testing.T, c *cluster) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), c.dir) {
			t.Errorf("a process is left: %s", strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), c.dir) {
		t.Errorf("a mount below %s is left", c.dir)
	}
	out, err := exec.Command("ip", "-n", c.netns, "-o", "link").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "\n"); n != 2 {
		t.Errorf("interfaces are left:\n%s", out)
	}
	if out, err := c.command("", "nft", "list", "tables"); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("nftables tables are left: %s %v", out, err)
	}
	for _, version := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
		if groups, err := filepath.Glob(version + c.netns); err != nil || len(groups) > 0 {
			t.Errorf("cgroups are left: %v %v", groups, err)
		}
	}
}
