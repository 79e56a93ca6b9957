package e2e

import (
	"io/fs"
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
	if files := named(t, c); len(files) > 0 {
		t.Errorf("files are left outside of the data directory: %v", files)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "d", "run")); !os.IsNotExist(err) {
		t.Errorf("the run directory is left: %v", err)
	}
}

// named lists the files outside of the cluster's directory that are named after
// it, in the upper levels of the directories where such things are put.
func named(t *testing.T, c *cluster) (found []string) {
	t.Helper()
	const depth = 3
	for _, root := range []string{"/etc", "/opt", "/run", "/tmp", "/var"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil // others remove theirs meanwhile
			case path == c.dir, path == "/run/netns/"+c.netns:
				return fs.SkipDir
			case strings.Contains(path, filepath.Base(c.dir)), strings.Contains(path, c.netns):
				found = append(found, path)
			case d.IsDir() && strings.Count(path, "/") >= depth:
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// footprint is what a machine is like on which a cluster may run.
type footprint map[string]string

// snapshot looks at the machine: the network is all there is in its namespace, and
// of the files those that a node would have made on a machine of its own.
func snapshot(t *testing.T, c *cluster) footprint {
	t.Helper()
	f := footprint{"files": foreignThings(t)}
	for what, line := range map[string][]string{
		"addresses": {"ip", "-o", "-4", "addr"},
		"routes":    {"ip", "-4", "route", "show", "table", "all"},
		"rules":     {"ip", "rule"},
		"nftables":  {"nft", "list", "ruleset"},
	} {
		out, err := c.command("", line[0], line[1:]...)
		if err != nil {
			t.Fatalf("%v: %v: %s", line, err, out)
		}
		f[what] = out
	}
	return f
}

// compare finds the machine as it was.
func (f footprint) compare(t *testing.T, c *cluster) {
	t.Helper()
	now := snapshot(t, c)
	for what, was := range f {
		if now[what] != was {
			t.Errorf("the %s were\n%s\nand are\n%s", what, was, now[what])
		}
	}
}
