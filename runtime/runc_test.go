package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/runtime/embedded"
	"proa/runtime/runtimetest"
)

// recordRunc has the runtime run runc by way of a script that notes each command,
// and returns how to read them.
func recordRunc(t *testing.T, env *runtimetest.Env) func() []string {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "commands")
	entries, err := os.ReadDir(env.Config.BinDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(env.Config.BinDir, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, embedded.RuncBinary)
	script := fmt.Sprintf("#!/bin/sh\nfor a; do case $a in create|start|kill|delete|exec|state) echo $a >> %s; break;; esac; done\nexec %s \"$@\"\n",
		log, filepath.Join(env.Config.BinDir, embedded.RuncBinary))
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	env.Config.BinDir = dir
	return func() []string {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(b))
	}
}

// The program is run once for a plain container, however it ends, and as often as
// it takes for one that shares the host's processes.
func TestRuncCommands(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	env := runtimetest.New(t)
	commands := recordRunc(t, env)
	env.StartRuntime(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("plain")
	sandbox := startSandbox(t, conn, sc)
	ignoring := func(cc *runtimeapi.ContainerConfig) {
		cc.Command, cc.Args = []string{"sh", "-c", "trap '' TERM; sleep 1000"}, nil
	}
	for _, c := range []struct {
		name   string
		change func(*runtimeapi.ContainerConfig)
		grace  int64
	}{{"ends", nil, 0}, {"ignores", ignoring, 1}} {
		id := addContainer(t, env, conn, sandbox, c.name, sc, c.change)
		if err := conn.Runtime.StopContainer(ctx, id, c.grace); err != nil {
			t.Fatal(err)
		}
		st, err := conn.Runtime.ContainerStatus(ctx, id, false)
		if err != nil {
			t.Fatal(err)
		}
		if st.Status.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.Status.ExitCode != 137 {
			t.Errorf("%s: %v, exit status %d", c.name, st.Status.State, st.Status.ExitCode)
		}
		if err := conn.Runtime.RemoveContainer(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if got := commands(); !slices.Equal(got, []string{"create", "create"}) {
		t.Errorf("runc was run for %q", got)
	}
	if left, err := os.ReadDir(filepath.Join(embedded.RuncRoot(env.Config.State), "k8s.io")); err != nil || len(left) > 0 {
		t.Errorf("containers known to runc: %v, %v", left, err)
	}
	if left := cgroupsBelow(t, env.CgroupParent); len(left) > 0 {
		t.Errorf("cgroups of containers are left: %q", left)
	}

	host := addContainer(t, env, conn, sandbox, "host", sc, func(cc *runtimeapi.ContainerConfig) {
		cc.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
	})
	if err := conn.Runtime.StopContainer(ctx, host, 0); err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.RemoveContainer(ctx, host); err != nil {
		t.Fatal(err)
	}
	if got := commands()[2:]; !slices.Contains(got, "kill") || !slices.Contains(got, "delete") || slices.Contains(got, "start") {
		t.Errorf("runc was run for %q", got)
	}
}

// cgroupsBelow lists the cgroups within one, in all hierarchies.
func cgroupsBelow(t *testing.T, parent string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/*" + parent + "/*", "/sys/fs/cgroup" + parent + "/*"} {
		all, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range all {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				found = append(found, path)
			}
		}
	}
	return found
}
