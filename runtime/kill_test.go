package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/runtime/cri"
	"proa/runtime/embedded"
	"proa/runtime/runtimetest"
)

// started are the containers that a runtime said it has started, with their
// processes.
type started struct {
	mu   sync.Mutex
	pids map[string]string
}

// The process is killed at any moment while pods are being started. Whatever was
// acknowledged goes on undisturbed; what was not can be removed; and at the end
// nothing is left.
func TestKilledWhileStarting(t *testing.T) {
	t.Parallel()
	const kills, pods = 5, 4
	env := runtimetest.New(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	acknowledged := started{pids: map[string]string{}}
	ctx := context.Background()
	for round := range kills {
		child := env.StartChild(t)
		conn := env.Connect(t)
		settle(t, conn, &acknowledged)
		var wg sync.WaitGroup
		for i := range pods {
			wg.Go(func() { startPod(env, conn, fmt.Sprintf("r%d-p%d", round, i), &acknowledged) })
		}
		time.Sleep(time.Duration(100+random.IntN(900)) * time.Millisecond) // the moment of the kill, not a wait
		child.Kill()
		wg.Wait()
	}
	env.StartChild(t)
	conn := env.Connect(t)
	settle(t, conn, &acknowledged)
	t.Logf("%d containers went through it", len(acknowledged.pids))

	all, err := conn.Runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sb := range all {
		removeSandbox(t, conn, sb.Id)
	}
	for what, pattern := range map[string]string{
		"bundles":            "io.containerd.runtime.v2.task/k8s.io/*",
		"files":              "sandboxes/*",
		"network namespaces": "io.containerd.grpc.v1.cri/netns/*",
		"addresses":          "net/ipam/*/10.*",
	} {
		if left, _ := filepath.Glob(filepath.Join(env.Config.State, pattern)); len(left) > 0 {
			t.Errorf("%s are left: %v", what, left)
		}
	}
	// One may stay for the next pod.
	spare := 0
	for _, f := range shimsOf(t, env) {
		if pid := shimPID(f); !ended(pid, 10*time.Second) {
			spare++
		}
	}
	if spare > 1 {
		t.Errorf("%d shims are left", spare)
	}
	if info, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(info), filepath.Join(env.Config.State, "sandboxes")) {
		t.Error("shared memory is left mounted")
	}
}

// TestUnclaimedNamespace: a network namespace that a killed process has pinned, and
// not recorded yet, goes with the next start. One of a sandbox stays.
func TestUnclaimedNamespace(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	child := env.StartChild(t)
	sb := startSandbox(t, env.Connect(t), env.SandboxConfig("kept"))
	dir := embedded.NetNSDir(env.Config.State)
	kept, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("network namespaces of one sandbox: %v, %v", kept, err)
	}
	child.Kill()
	left := filepath.Join(dir, "cni-00000000-0000-0000-0000-000000000000")
	if err := os.WriteFile(left, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(kept[0], left, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	env.StartChild(t)
	conn := env.Connect(t)
	if now, _ := filepath.Glob(filepath.Join(dir, "*")); !slices.Equal(now, kept) {
		t.Errorf("there are %v, and not %v", now, kept)
	}
	removeSandbox(t, conn, sb)
}

// shimPID takes the process id out of the path of its command line.
func shimPID(cmdline string) int {
	pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(cmdline)))
	return pid
}

// ended waits for a process that is not a child to end.
func ended(pid int, limit time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	for deadline := time.Now().Add(limit); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(0, time.Until(deadline)).Milliseconds()))
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return n > 0
		}
		if err == nil && time.Until(deadline) <= 0 {
			return false
		}
	}
}

// startPod starts a pod with one container, and notes it if the runtime said so.
// Errors are to be expected: the runtime is being killed.
func startPod(env *runtimetest.Env, conn *cri.Conn, name string, done *started) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	sc := env.SandboxConfig(name)
	sb, err := conn.Runtime.RunPodSandbox(ctx, sc, "")
	if err != nil {
		return
	}
	id, err := conn.Runtime.CreateContainer(ctx, sb, env.ContainerConfig("app", images.Hello1, "/bin/sleep", "1000"), sc)
	if err != nil || conn.Runtime.StartContainer(ctx, id) != nil {
		return
	}
	done.mu.Lock()
	defer done.mu.Unlock()
	done.pids[id] = ""
}

// settle does what a node agent does after a restart: it removes sandboxes that
// are not ready, or hold nothing; and checks that what was acknowledged runs on in
// the same process.
func settle(t *testing.T, conn *cri.Conn, acknowledged *started) {
	t.Helper()
	ctx := context.Background()
	for id, pid := range acknowledged.pids {
		st, err := conn.Runtime.ContainerStatus(ctx, id, true)
		if err != nil {
			t.Errorf("container %s is lost: %v", id, err)
			delete(acknowledged.pids, id)
			continue
		}
		if st.Status.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("container %s is %s", id, st.Status.State)
			delete(acknowledged.pids, id)
			continue
		}
		if now := pidOf(t, st); pid != "" && now != pid {
			t.Errorf("container %s was process %s and is %s", id, pid, now)
		} else {
			acknowledged.pids[id] = now
		}
	}
	containers, err := conn.Runtime.ListContainers(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	holds := map[string]bool{}
	for _, c := range containers {
		if _, ok := acknowledged.pids[c.Id]; ok {
			holds[c.PodSandboxId] = true
		}
	}
	sandboxes, err := conn.Runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sb := range sandboxes {
		switch {
		case !holds[sb.Id]:
			removeSandbox(t, conn, sb.Id)
		case sb.State != runtimeapi.PodSandboxState_SANDBOX_READY:
			t.Errorf("sandbox %s of a running container is %s", sb.Id, sb.State)
		}
	}
}

func removeSandbox(t *testing.T, conn *cri.Conn, id string) {
	t.Helper()
	ctx := context.Background()
	if err := conn.Runtime.StopPodSandbox(ctx, id); err != nil {
		t.Errorf("stop sandbox %s: %v", id, err)
	}
	if err := conn.Runtime.RemovePodSandbox(ctx, id); err != nil {
		t.Errorf("remove sandbox %s: %v", id, err)
	}
}
