package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"proa/runtime/sandbox"
)

// pauseProcess holds a pod's namespaces open.
type pauseProcess struct {
	pid int
	// done is closed when it has ended; status and exited are set before.
	done   chan struct{}
	status int
	exited time.Time
}

// sandboxOOMScoreAdj is upstream's: the last to go.
const sandboxOOMScoreAdj = "-998"

// startPause makes the namespaces of the specification and starts pause in them.
func startPause(spec sandbox.Spec) (*pauseProcess, error) {
	type result struct {
		p   *pauseProcess
		err error
	}
	// Namespaces belong to threads. This one is prepared and then cloned, and
	// never used for anything else: it ends with the goroutine that is locked
	// to it, when pause has ended.
	started := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := enter(spec); err != nil {
			started <- result{err: err}
			return
		}
		p, err := launch(spec)
		started <- result{p, err}
		if err == nil {
			// For the kernel this thread is the parent: pause would die with it.
			<-p.done
		}
	}()
	r := <-started
	if r.err != nil {
		return nil, r.err
	}
	// Without CAP_SYS_RESOURCE it keeps the shim's.
	err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", r.p.pid), []byte(sandboxOOMScoreAdj), 0)
	if err != nil && !errors.Is(err, os.ErrPermission) && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("protect pause: %w", err), r.p.kill(context.Background()))
	}
	return r.p, nil
}

// enter puts the calling thread into the namespaces that can be entered by a
// thread, and sets them up.
func enter(spec sandbox.Spec) error {
	var fresh int
	if !spec.HostIPC {
		fresh |= unix.CLONE_NEWIPC
	}
	if spec.NetNS != "" {
		fresh |= unix.CLONE_NEWUTS
	}
	if fresh != 0 {
		if err := unix.Unshare(fresh); err != nil {
			return fmt.Errorf("make namespaces: %w", err)
		}
	}
	if spec.NetNS != "" {
		fd, err := unix.Open(spec.NetNS, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open network namespace %s: %w", spec.NetNS, err)
		}
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("enter network namespace %s: %w", spec.NetNS, err)
		}
		if spec.Hostname != "" {
			if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
				return fmt.Errorf("set host name %q: %w", spec.Hostname, err)
			}
		}
	}
	// Files in /proc/sys show the namespaces of the thread that opens them.
	for name, value := range spec.Sysctls {
		path, err := spec.SysctlPath(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("set sysctl %s: %w", name, err)
		}
	}
	return nil
}

// confine gives the calling thread a mount namespace that has the directory as its
// root and nothing else. A changed root alone would not do: the containers of a
// pod that shares its processes may look into pause's, and from there go up.
func confine(root string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// What happens to the mounts here must not happen on the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter %s: %w", root, err)
	}
	// The old root comes to lie over the new one, and is taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the root: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("take the machine's files away: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", root, err)
	}
	return nil
}

// launch starts pause from the calling thread, which is left with no other files.
func launch(spec sandbox.Spec) (*pauseProcess, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if err := confine(spec.Root); err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{
		Setsid: true,
		// Without the shim nobody would ever end it.
		Pdeathsig:  unix.SIGKILL,
		Credential: &syscall.Credential{Uid: sandbox.ID, Gid: sandbox.ID},
	}
	if spec.SharePID {
		attr.Cloneflags = unix.CLONE_NEWPID
	}
	cmd := &exec.Cmd{
		Path: sandbox.Pause, Args: []string{sandbox.Pause}, Env: []string{}, Dir: "/",
		Stdin: null, Stdout: null, Stderr: null, SysProcAttr: attr,
	}
	// The shim reaps all children in one place, and tells.
	exits, err := reaper.Default.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start pause: %w", err)
	}
	p := &pauseProcess{pid: cmd.Process.Pid, done: make(chan struct{})}
	go p.wait(exits)
	return p, nil
}

// wait notes the end of the process among those of all children.
func (p *pauseProcess) wait(exits chan runc.Exit) {
	defer reaper.Default.Unsubscribe(exits)
	for e := range exits {
		if e.Pid == p.pid {
			p.status, p.exited = e.Status, e.Timestamp
			close(p.done)
			return
		}
	}
}

// kill ends the process and returns when it is gone.
func (p *pauseProcess) kill(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := unix.Kill(p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill pause: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of pause: %w", ctx.Err())
	}
}
