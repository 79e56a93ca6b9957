package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/network/cni"
	proaruntime "proa/runtime"
	"proa/runtime/cri"
	"proa/runtime/embedded"
	"proa/runtime/runtimetest"
)

func TestMain(m *testing.M) { runtimetest.Main(m) }

// runPod runs a pod with one container and returns both IDs.
func runPod(t *testing.T, env *runtimetest.Env, conn *cri.Conn, name string, command ...string) (sandbox, container string) {
	t.Helper()
	ctx := context.Background()
	sc := env.SandboxConfig(name)
	sandbox, err := conn.Runtime.RunPodSandbox(ctx, sc, "")
	if err != nil {
		t.Fatal(err)
	}
	container, err = conn.Runtime.CreateContainer(ctx, sandbox, env.ContainerConfig("app", images.Hello1, command...), sc)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.StartContainer(ctx, container); err != nil {
		t.Fatal(err)
	}
	return sandbox, container
}

// A killed node must not touch what runs on it: the process, and what it wrote,
// are the same after the restart, and its end is still noticed.
func TestContainersSurviveKill(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	child := env.StartChild(t)
	conn := env.Connect(t)
	ctx := context.Background()
	sandbox, id := runPod(t, env, conn, "survivor", "/bin/sh", "-c", "echo $$ >/tmp/mark; trap 'exit 7' TERM; while :; do sleep 0.1; done")
	before, err := conn.Runtime.ContainerStatus(ctx, id, true)
	if err != nil {
		t.Fatal(err)
	}

	child.Kill()
	env.StartChild(t)

	conn = env.Connect(t)
	after, err := conn.Runtime.ContainerStatus(ctx, id, true)
	if err != nil {
		t.Fatal(err)
	}
	if after.Status.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Errorf("container is %s after the restart", after.Status.State)
	}
	if a, b := pidOf(t, before), pidOf(t, after); a != b {
		t.Errorf("container's process was %s, is %s", a, b)
	}
	if after.Status.StartedAt != before.Status.StartedAt {
		t.Errorf("container started at %d, now %d", before.Status.StartedAt, after.Status.StartedAt)
	}
	out, _, err := conn.Runtime.ExecSync(ctx, id, []string{"cat", "/tmp/mark"}, 0)
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Errorf("exec after the restart: %q, %v", out, err)
	}
	sb, err := conn.Runtime.PodSandboxStatus(ctx, sandbox, false)
	if err != nil {
		t.Fatal(err)
	}
	if sb.Status.State != runtimeapi.PodSandboxState_SANDBOX_READY {
		t.Errorf("sandbox is %s after the restart", sb.Status.State)
	}
	if sb.Status.Network.GetIp() == "" {
		t.Error("sandbox has no address after the restart")
	}
	if err := conn.Runtime.StopContainer(ctx, id, 30); err != nil {
		t.Fatal(err)
	}
	end, err := conn.Runtime.ContainerStatus(ctx, id, false)
	if err != nil {
		t.Fatal(err)
	}
	if end.Status.ExitCode != 7 {
		t.Errorf("exit code %d, want 7 as the container chose on SIGTERM", end.Status.ExitCode)
	}
}

// pidOf finds the process ID in the verbose part of a status.
func pidOf(t *testing.T, st *runtimeapi.ContainerStatusResponse) string {
	t.Helper()
	_, rest, ok := strings.Cut(st.Info["info"], `"pid":`)
	if !ok {
		t.Fatalf("no pid in %v", st.Info)
	}
	pid, _, _ := strings.Cut(rest, ",")
	return pid
}

// Teardown finds everything although nobody is left to tell it.
func TestTeardownAfterKill(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	child := env.StartChild(t)
	conn := env.Connect(t)
	_, id := runPod(t, env, conn, "leftover", "/bin/sh", "-c", "trap '' TERM; sleep 1000 & wait; wait")
	st, err := conn.Runtime.ContainerStatus(context.Background(), id, true)
	if err != nil {
		t.Fatal(err)
	}
	pid := pidOf(t, st)
	conf := env.TeardownConfig()
	conf.Purge = false
	ctx := context.Background()

	if err := proaruntime.Teardown(ctx, conf); !errors.Is(err, embedded.ErrInUse) {
		t.Fatalf("teardown beside a living runtime: %v, want %v", err, embedded.ErrInUse)
	}
	child.Kill()
	if err := cni.Teardown(ctx, env.Network); err != nil {
		t.Fatal(err)
	}
	conf.Grace = 10 * time.Millisecond
	for range 2 { // the second has nothing to do
		if err := proaruntime.Teardown(ctx, conf); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := os.Stat("/proc/" + pid); err == nil {
		t.Errorf("process %s is still there", pid)
	}
	if b, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(b), filepath.Dir(env.Config.State)) {
		t.Error("mounts are left")
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*" + env.CgroupParent); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	for _, dir := range []string{env.Config.State, embedded.ShimSocketDir(env.Config.State)} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
	if shims := shimsOf(t, env); len(shims) > 0 {
		t.Errorf("shims are left: %v", shims)
	}

	// The images are still there for the next start, and the dead are known to
	// be dead.
	if err := embedded.PrepareState(env.Config.State); err != nil {
		t.Fatal(err)
	}
	if err := cni.Setup(ctx, env.Network); err != nil {
		t.Fatal(err)
	}
	env.StartChild(t)
	conn = env.Connect(t)
	img, err := conn.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: images.Hello1}, false)
	if err != nil || img.Image == nil {
		t.Errorf("image is gone: %v", err)
	}
	if st, err := conn.Runtime.ContainerStatus(ctx, id, false); err == nil && st.Status.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Error("the killed container counts as running")
	}
	runPod(t, env, conn, "again")
}

// shimsOf lists the shims that were started with the runtime's socket.
func shimsOf(t *testing.T, env *runtimetest.Env) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if strings.Contains(string(b), embedded.ShimBinary) && strings.Contains(string(b), env.Config.Socket) {
			out = append(out, f)
		}
	}
	return out
}

// Every change of a container arrives as an event, in order.
func TestEvents(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	sink := newRecorder()
	done := make(chan error, 1)
	go func() { done <- cri.Watch(ctx, conn.Runtime, sink, realClock, env.Config.Logger) }()
	<-sink.connected

	sandbox, id := runPod(t, env, conn, "events", "/bin/true")
	sink.wait(t, id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	if err := conn.Runtime.StopPodSandbox(ctx, sandbox); err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.RemovePodSandbox(ctx, sandbox); err != nil {
		t.Fatal(err)
	}
	sink.wait(t, sandbox, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	want := "CREATED STARTED STOPPED DELETED"
	if got := sink.of(id); got != want {
		t.Errorf("events of the container: %s, want %s", got, want)
	}
	if got := sink.of(sandbox); got != want {
		t.Errorf("events of the sandbox: %s, want %s", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch after its context ended: %v", err)
	}
}

// A runtime that is stopped and started again in the same process finds its
// containers, too; and two of them may run beside each other.
func TestRestartInProcess(t *testing.T) {
	t.Parallel()
	env, other := runtimetest.Start(t), runtimetest.Start(t)
	ctx := context.Background()
	conn := env.Connect(t)
	_, id := runPod(t, env, conn, "kept")
	runPod(t, other, other.Connect(t), "other")
	env.Runtime.Stop()
	if _, err := os.Stat(env.Config.Socket); err == nil {
		t.Error("the socket is there although nobody listens")
	}
	env.StartRuntime(t)
	conn = env.Connect(t)
	st, err := conn.Runtime.ContainerStatus(ctx, id, false)
	if err != nil {
		t.Fatal(err)
	}
	if st.Status.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Errorf("container is %s", st.Status.State)
	}
	if _, err := embedded.Start(ctx, env.Config); !errors.Is(err, embedded.ErrInUse) {
		t.Errorf("a second runtime on the same root: %v, want %v", err, embedded.ErrInUse)
	}
	// The settings of the one started last must not have become the other's.
	_, id = runPod(t, other, other.Connect(t), "another")
	if _, err := os.Stat(filepath.Join(embedded.RuncRoot(other.Config.State), "k8s.io", id)); err != nil {
		t.Errorf("runc's state is not in its own runtime's directory: %v", err)
	}
}
