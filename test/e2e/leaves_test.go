package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
