package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/runtime/cri"
	"proa/runtime/runtimetest"
)

// run executes a command in a container and returns what it wrote.
func run(t *testing.T, conn *cri.Conn, id string, command string) string {
	t.Helper()
	out, stderr, err := conn.Runtime.ExecSync(context.Background(), id, []string{"sh", "-c", command}, 0)
	if err != nil {
		return strings.TrimSpace(string(out) + string(stderr) + err.Error())
	}
	return strings.TrimSpace(string(out) + string(stderr))
}

// addContainer starts another container in a sandbox.
func addContainer(t *testing.T, env *runtimetest.Env, conn *cri.Conn, sandbox, name string, sc *runtimeapi.PodSandboxConfig,
	change func(*runtimeapi.ContainerConfig)) string {
	t.Helper()
	ctx := context.Background()
	cc := env.ContainerConfig(name, images.Hello1, "/bin/sleep", "1000")
	if change != nil {
		change(cc)
	}
	id, err := conn.Runtime.CreateContainer(ctx, sandbox, cc, sc)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.StartContainer(ctx, id); err != nil {
		t.Fatal(err)
	}
	return id
}

func startSandbox(t *testing.T, conn *cri.Conn, sc *runtimeapi.PodSandboxConfig) string {
	t.Helper()
	id, err := conn.Runtime.RunPodSandbox(context.Background(), sc, "")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// What the containers of a pod share, and what not.
func TestSandboxNamespaces(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("shared")
	sc.Linux.Sysctls = map[string]string{"kernel.shmmni": "777", "net.ipv4.ip_default_ttl": "33"}
	sc.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.43.0.10"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5"}}
	sb := startSandbox(t, conn, sc)
	a := addContainer(t, env, conn, sb, "a", sc, nil)
	b := addContainer(t, env, conn, sb, "b", sc, nil)

	for _, tt := range []struct{ id, command, want string }{
		{a, "hostname; cat /etc/hostname", "shared\nshared"},
		{a, "cat /etc/resolv.conf", "search a b\nnameserver 10.43.0.10\noptions ndots:5"},
		{a, "cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_default_ttl", "777\n33"},
		{a, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
		{a, "echo there > /dev/shm/x", ""},
		{b, "cat /dev/shm/x", "there"},
		{b, "ls -d /sys/class/net/*", "/sys/class/net/eth0\n/sys/class/net/lo"},
	} {
		if got := run(t, conn, tt.id, tt.command); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.command, got, tt.want)
		}
	}
	if info, err := os.Stat(filepath.Join(env.Config.State, "sandboxes")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("other users of the machine reach the pods' shared memory: %v, %v", info.Mode(), err)
	}
	for _, ns := range []string{"net", "uts", "ipc"} {
		inA, inB := run(t, conn, a, "readlink /proc/self/ns/"+ns), run(t, conn, b, "readlink /proc/self/ns/"+ns)
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if inA != inB || inA == host {
			t.Errorf("%s: %s and %s, the host's is %s", ns, inA, inB, host)
		}
	}
	if pidA, pidB := run(t, conn, a, "readlink /proc/self/ns/pid"), run(t, conn, b, "readlink /proc/self/ns/pid"); pidA == pidB {
		t.Error("containers share a PID namespace that were not told to")
	}
}

// In a shared PID namespace pause is everybody's init: it collects orphans, and
// gives no way to the host, not even to its own user.
func TestSharedPIDNamespace(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("pids")
	sc.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	sb := startSandbox(t, conn, sc)
	shared := func(cc *runtimeapi.ContainerConfig) {
		cc.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}
	root := addContainer(t, env, conn, sb, "root", sc, shared)
	same := addContainer(t, env, conn, sb, "same", sc, func(cc *runtimeapi.ContainerConfig) {
		shared(cc)
		cc.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 65535}
		cc.Linux.SecurityContext.RunAsGroup = &runtimeapi.Int64Value{Value: 65535}
	})
	if got := run(t, conn, root, "tr '\\0' ' ' </proc/1/cmdline"); got != "/pause" {
		t.Errorf("init is %q", got)
	}
	for _, id := range []string{root, same} {
		for _, command := range []string{"ls /proc/1/root/", "ls -l /proc/1/exe", "ls /proc/1/cwd/", "cat /proc/1/fd/0"} {
			if got := run(t, conn, id, command); !strings.Contains(strings.ToLower(got), "denied") {
				t.Errorf("%s: %q, want a refusal", command, got)
			}
		}
	}
	if got := run(t, conn, root, "ls /proc/1/fd"); got != "0\n1\n2" {
		t.Errorf("pause has open files: %q", got)
	}
	if got := run(t, conn, root, "grep -E '^(Uid|CapEff|CapPrm)' /proc/1/status"); got != "Uid:\t65535\t65535\t65535\t65535\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000" {
		t.Errorf("pause runs with %q", got)
	}
	// An orphan: its parent ends first, then it.
	run(t, conn, root, "sh -c 'sleep 0.05 &'")
	for range 100 {
		if got := run(t, conn, root, "sleep 0.05; ps -o stat,ppid | grep '^Z' | wc -l"); got == "0" {
			return
		}
	}
	t.Error("orphans stay zombies")
}

// A pod on the host's network has its names too; its own sysctls are refused.
func TestHostNamespaces(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("host")
	sc.Hostname = ""
	onHost := &runtimeapi.NamespaceOption{
		Network: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_NODE,
	}
	sc.Linux.SecurityContext.NamespaceOptions = onHost
	sb := startSandbox(t, conn, sc)
	id := addContainer(t, env, conn, sb, "a", sc, func(cc *runtimeapi.ContainerConfig) {
		cc.Linux.SecurityContext.NamespaceOptions = onHost
	})
	for _, ns := range []string{"net", "uts", "ipc", "pid"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, conn, id, "readlink /proc/self/ns/"+ns); got != host {
			t.Errorf("%s: %s, the host's is %s", ns, got, host)
		}
	}
	sc.Metadata.Name = "greedy"
	sc.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "0"}
	if _, err := conn.Runtime.RunPodSandbox(context.Background(), sc, ""); err == nil || !strings.Contains(err.Error(), "not in a separate kernel namespace") {
		t.Errorf("a pod set a sysctl of the host: %v", err)
	}
}

// After a restart of the node a pod takes further containers, as it has to when
// one of its containers fails.
func TestContainerAfterRestart(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	child := env.StartChild(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("restart")
	sb := startSandbox(t, conn, sc)
	first := addContainer(t, env, conn, sb, "first", sc, nil)
	run(t, conn, first, "echo kept > /dev/shm/x")
	// With its last container gone the shim must stay: it is the sandbox.
	ctx := context.Background()
	if err := conn.Runtime.StopContainer(ctx, first, 0); err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.RemoveContainer(ctx, first); err != nil {
		t.Fatal(err)
	}
	child.Kill()
	env.StartChild(t)
	conn = env.Connect(t)
	second := addContainer(t, env, conn, sb, "second", sc, nil)
	if got := run(t, conn, second, "hostname; cat /dev/shm/x; cat /etc/hostname"); got != "restart\nkept\nrestart" {
		t.Errorf("in the second container: %q", got)
	}
	if err := conn.Runtime.StopPodSandbox(ctx, sb); err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.RemovePodSandbox(ctx, sb); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(env.Config.State), "*", "*", "*", "*"+sb+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of the sandbox: %v %v", left, err)
	}
	if left, _ := filepath.Glob(filepath.Join(env.Config.State, "sandboxes", "*")); len(left) > 0 {
		t.Errorf("left of the sandbox: %v", left)
	}
}

// The filter of system calls is in force: runc is linked with what makes it.
func TestSeccomp(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("filtered")
	id := addContainer(t, env, conn, startSandbox(t, conn, sc), "a", sc, func(cc *runtimeapi.ContainerConfig) {
		cc.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	})
	if got := run(t, conn, id, "grep ^Seccomp: /proc/self/status"); got != "Seccomp:\t2" {
		t.Errorf("%q, want a filter", got)
	}
	if got := run(t, conn, id, "unshare -m true"); !strings.Contains(got, "not permitted") {
		t.Errorf("making a mount namespace: %q, want a refusal", got)
	}
}

// hasEnded tells whether a process, given by a descriptor, has ended.
func hasEnded(t *testing.T, process int) bool {
	t.Helper()
	ended := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ended, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}

// When pause or the shim dies, the sandbox is reported dead, nothing of it stays
// alive, and it can be removed and replaced.
func TestSandboxDies(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx := context.Background()
	sink := newRecorder()
	watching, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- cri.Watch(watching, conn.Runtime, sink, realClock, env.Config.Logger) }()
	<-sink.connected
	for i, victim := range []string{"pause", "shim"} {
		sc := env.SandboxConfig(victim)
		sb := startSandbox(t, conn, sc)
		id := addContainer(t, env, conn, sb, "a", sc, nil)
		st, err := conn.Runtime.PodSandboxStatus(ctx, sb, true)
		if err != nil {
			t.Fatal(err)
		}
		pause := number(t, st.Info["info"], `"pid":`)
		status, err := conn.Runtime.ContainerStatus(ctx, id, true)
		if err != nil {
			t.Fatal(err)
		}
		first := number(t, status.Info["info"], `"pid":`)
		life, err := unix.PidfdOpen(first, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(life)
		target := pause
		if victim == "shim" {
			target = parent(t, pause)
		}
		if err := unix.Kill(target, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		sink.wait(t, sb, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
		after, err := conn.Runtime.PodSandboxStatus(ctx, sb, false)
		if err != nil {
			t.Fatal(err)
		}
		if after.Status.State != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("after %s died the sandbox is %s", victim, after.Status.State)
		}
		if victim == "shim" {
			sink.wait(t, id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
			if !hasEnded(t, life) {
				t.Error("a container's end was told while it lived")
			}
		}
		if err := conn.Runtime.StopPodSandbox(ctx, sb); err != nil {
			t.Errorf("stop after %s died: %v", victim, err)
		}
		if err := conn.Runtime.RemovePodSandbox(ctx, sb); err != nil {
			t.Errorf("remove after %s died: %v", victim, err)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/pause", pause)); err == nil {
			t.Errorf("pause outlived its sandbox after %s died", victim)
		}
		sc.Metadata.Attempt = uint32(i + 1)
		addContainer(t, env, conn, startSandbox(t, conn, sc), "a", sc, nil)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The end of a shim is the end of its own pods only. The pods of another go on, and
// so do those of a shim that was started by a runtime before.
func TestShimsAreApart(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	env.Config.PodsPerShim = 2
	child := env.StartChild(t)
	conn := env.Connect(t)
	ctx := context.Background()
	var ids, sandboxes []string
	var pauses []int
	for i := range 5 {
		sc := env.SandboxConfig(fmt.Sprintf("p%d", i))
		sb := startSandbox(t, conn, sc)
		sandboxes, ids = append(sandboxes, sb), append(ids, addContainer(t, env, conn, sb, "a", sc, nil))
		st, err := conn.Runtime.PodSandboxStatus(ctx, sb, true)
		if err != nil {
			t.Fatal(err)
		}
		pauses = append(pauses, number(t, st.Info["info"], `"pid":`))
	}
	if n := len(shimsOf(t, env)); n != 3 {
		t.Errorf("%d shims hold 5 pods, want 3", n)
	}
	child.Kill()
	// One dies while nobody looks, another under the eyes of the next runtime.
	if err := unix.Kill(parent(t, pauses[4]), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	env.StartChild(t)
	conn = env.Connect(t)
	sink := newRecorder()
	watching, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- cri.Watch(watching, conn.Runtime, sink, realClock, env.Config.Logger) }()
	<-sink.connected
	if err := unix.Kill(parent(t, pauses[0]), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sink.wait(t, ids[0], runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	sink.wait(t, ids[1], runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	for i, want := range []runtimeapi.ContainerState{
		runtimeapi.ContainerState_CONTAINER_EXITED, runtimeapi.ContainerState_CONTAINER_EXITED,
		runtimeapi.ContainerState_CONTAINER_RUNNING, runtimeapi.ContainerState_CONTAINER_RUNNING,
		runtimeapi.ContainerState_CONTAINER_EXITED,
	} {
		st, err := conn.Runtime.ContainerStatus(ctx, ids[i], false)
		if err != nil {
			t.Fatal(err)
		}
		if st.Status.State != want {
			t.Errorf("container %d is %s, want %s", i, st.Status.State, want)
		}
	}
	if got := run(t, conn, ids[2], "echo alive"); got != "alive" {
		t.Errorf("in a pod of another shim: %q", got)
	}
	for _, sb := range sandboxes {
		removeSandbox(t, conn, sb)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A shim that does not answer the next runtime is ended with its pods, which can be
// removed and replaced.
func TestDeafShim(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	child := env.StartChild(t)
	conn := env.Connect(t)
	ctx := context.Background()
	sc := env.SandboxConfig("deaf")
	sb := startSandbox(t, conn, sc)
	id := addContainer(t, env, conn, sb, "a", sc, nil)
	st, err := conn.Runtime.PodSandboxStatus(ctx, sb, true)
	if err != nil {
		t.Fatal(err)
	}
	pause := number(t, st.Info["info"], `"pid":`)
	status, err := conn.Runtime.ContainerStatus(ctx, id, true)
	if err != nil {
		t.Fatal(err)
	}
	first := number(t, status.Info["info"], `"pid":`)
	child.Kill()
	if err := unix.Kill(parent(t, pause), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	env.StartChild(t)
	conn = env.Connect(t)
	after, err := conn.Runtime.PodSandboxStatus(ctx, sb, false)
	if err != nil {
		t.Fatal(err)
	}
	if after.Status.State != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("the sandbox is %s", after.Status.State)
	}
	for what, pid := range map[string]int{"pause": pause, "the container": first} {
		if !ended(pid, 10*time.Second) {
			t.Errorf("%s outlived the shim", what)
		}
	}
	removeSandbox(t, conn, sb)
	sc.Metadata.Attempt = 1
	addContainer(t, env, conn, startSandbox(t, conn, sc), "a", sc, nil)
}

// A pod with a user namespace gets upstream's sandbox, and all the rest holds.
func TestUserNamespace(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	mapping := []*runtimeapi.IDMapping{{HostId: 200000, ContainerId: 0, Length: 65536}}
	own := func(o *runtimeapi.NamespaceOption) {
		o.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: mapping, Gids: mapping}
	}
	sc := env.SandboxConfig("users")
	own(sc.Linux.SecurityContext.NamespaceOptions)
	sb := startSandbox(t, conn, sc)
	id := addContainer(t, env, conn, sb, "a", sc, func(cc *runtimeapi.ContainerConfig) { own(cc.Linux.SecurityContext.NamespaceOptions) })
	if got := strings.Fields(run(t, conn, id, "cat /proc/self/uid_map")); len(got) != 3 || got[1] != "200000" {
		t.Errorf("uid map %v", got)
	}
	removeSandbox(t, conn, sb)
}

// The containers of a pod that has a shim of its own end with that too.
func TestOwnShimDies(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx := context.Background()
	sink := newRecorder()
	watching, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- cri.Watch(watching, conn.Runtime, sink, realClock, env.Config.Logger) }()
	<-sink.connected
	mapping := []*runtimeapi.IDMapping{{HostId: 200000, ContainerId: 0, Length: 65536}}
	own := func(o *runtimeapi.NamespaceOption) {
		o.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: mapping, Gids: mapping}
	}
	sc := env.SandboxConfig("users")
	own(sc.Linux.SecurityContext.NamespaceOptions)
	sb := startSandbox(t, conn, sc)
	id := addContainer(t, env, conn, sb, "a", sc, func(cc *runtimeapi.ContainerConfig) { own(cc.Linux.SecurityContext.NamespaceOptions) })
	status, err := conn.Runtime.ContainerStatus(ctx, id, true)
	if err != nil {
		t.Fatal(err)
	}
	first := number(t, status.Info["info"], `"pid":`)
	life, err := unix.PidfdOpen(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(life)
	if err := unix.Kill(parent(t, first), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sink.wait(t, id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	if !hasEnded(t, life) {
		t.Error("a container's end was told while it lived")
	}
	removeSandbox(t, conn, sb)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// number finds the number after a key in a JSON text.
func number(t *testing.T, text, key string) int {
	t.Helper()
	_, rest, ok := strings.Cut(text, key)
	if !ok {
		t.Fatalf("no %s in %s", key, text)
	}
	end := strings.IndexAny(rest, ",}")
	n, err := strconv.Atoi(strings.TrimSpace(rest[:end]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// parent finds the parent of a process.
func parent(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "PPid:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSharedProcessesStayInside: in a pod whose containers see all its processes,
// the root of pause leads nowhere else, for one who may look into it.
func TestSharedProcessesStayInside(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	sc := env.SandboxConfig("shared")
	sc.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	sb := startSandbox(t, conn, sc)
	id := addContainer(t, env, conn, sb, "tracer", sc, func(cc *runtimeapi.ContainerConfig) {
		cc.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: sc.Linux.SecurityContext.NamespaceOptions,
			Capabilities:     &runtimeapi.Capability{AddCapabilities: []string{"SYS_PTRACE"}},
		}
	})
	for _, above := range []string{"", "/..", "/../../../../../../../../.."} {
		if got := run(t, conn, id, "ls /proc/1/root"+above); got != "pause" {
			t.Errorf("in the root of pause%s:\n%s", above, got)
		}
	}
}
