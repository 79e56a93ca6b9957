package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// refused runs proa, which must fail with one line that says this.
func (c *cluster) refused(bin string, want []string, args ...string) {
	c.t.Helper()
	out, err := c.command("", filepath.Join(bin, "proa"), args...)
	out = strings.TrimSpace(out)
	if err == nil {
		c.t.Errorf("proa %s succeeds: %s", strings.Join(args, " "), out)
		return
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("proa %s does not say %q:\n%s", args[0], w, out)
		}
	}
	if lines := strings.Split(out, "\n"); !strings.HasPrefix(lines[len(lines)-1], "proa: ") || len(lines) > 1 && args[0] == "up" {
		c.t.Errorf("proa %s does not say it in one line:\n%s", args[0], out)
	}
}

// tmpfs mounts a small disk at the data directory of the cluster.
func (c *cluster) tmpfs(size string) {
	c.t.Helper()
	dir := filepath.Join(c.dir, "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log", "proa.log"))
			c.t.Logf("end of the server's log:\n%s", tail(string(log), 30))
		}
		c.down("--purge")
		if err := unix.Unmount(dir, 0); err != nil {
			c.t.Errorf("unmount the small disk: %v", err)
		}
	})
}

// TestRefusals starts clusters that cannot run.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	other := append([]string{}, c.flags...)
	other[1] = filepath.Join(c.dir, "other")
	api := c.start("apiserver", append([]string{"apiserver"}, c.flags...)...)
	c.typist(t, "default").works("get", "--raw", "/readyz")

	c.refused(c.bin, []string{"port 6443 of the API server is taken", "--port"}, append([]string{"up"}, other...)...)
	c.refused(c.bin, []string{"is in use by process", "proa down"}, append([]string{"server"}, c.flags...)...)
	alone := filepath.Join(c.dir, "bin")
	if err := os.Mkdir(alone, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "cp", filepath.Join(c.bin, "proa"), alone)
	c.refused(alone, []string{"runc is missing beside proa", "containerd-shim-runc-v2 is missing", "cni/proa-bridge is missing", `"make build"`}, append([]string{"up", "--port=0"}, other...)...)
	api.end(unix.SIGTERM)

	format := filepath.Join(c.dir, "d", "etcd", "format")
	was, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(format, []byte("proa-store 99 etcd 99.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.refused(c.bin, []string{"written by a newer version"}, append([]string{"apiserver"}, c.flags...)...)
	if err := os.WriteFile(format, was, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSmallDisk refuses a disk on which a cluster could not live.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	c.tmpfs("16m")
	c.refused(c.bin, []string{"MiB are free", "make room"}, append([]string{"up", "--keep-kubeconfig"}, c.flags...)...)
}

// TestFullDisk fills the disk under a server that runs. What was acknowledged
// is there when there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	c.tmpfs("700m")
	c.up()
	u := c.typist(t, "default")
	fill := filepath.Join(c.dir, "d", "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(block)
	}
	f.Close()
	// The log of the store is allocated ahead, so that it takes some writes.
	big := filepath.Join(c.dir, "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("x", 900<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged := []string{}
	refusal := ""
	for i := 0; i < 400 && refusal == ""; i++ {
		name := fmt.Sprintf("c%d", i)
		if out, err := u.try("", "create", "configmap", name, "--from-file="+big, "--request-timeout=20s"); err != nil {
			refusal = out
		} else {
			acknowledged = append(acknowledged, name)
		}
	}
	if refusal == "" {
		t.Fatal("writes go on though the disk is full")
	}
	t.Logf("%d writes were acknowledged, then: %s", len(acknowledged), refusal)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(c.dir, "d", "log", "proa.log")); err != nil || !strings.Contains(string(log), "no space left on device") {
		t.Errorf("the log does not say why: %v\n%s", err, tail(string(log), 10))
	}
	c.up()
	have := u.kubectl("get", "configmaps", "-o", "name")
	for _, name := range acknowledged {
		if !strings.Contains(have+"\n", "configmap/"+name+"\n") {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	u.kubectl("create", "configmap", "afterwards")
}
