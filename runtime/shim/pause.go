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
	return r.p, r.err
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

// sandboxOOMScoreAdj is upstream's: the last to go.
const sandboxOOMScoreAdj = "-998"

// launch starts pause from the calling thread.
func launch(spec sandbox.Spec) (*pauseProcess, error) {
	attr := &syscall.SysProcAttr{
		Chroot:     spec.Root,
		Cloneflags: unix.CLONE_NEWNS,
		Setsid:     true,
		// Without the shim nobody would ever end it.
		Pdeathsig:  unix.SIGKILL,
		Credential: &syscall.Credential{Uid: sandbox.ID, Gid: sandbox.ID},
	}
	if spec.SharePID {
		attr.Cloneflags |= unix.CLONE_NEWPID
	}
	cmd := &exec.Cmd{Path: sandbox.Pause, Args: []string{sandbox.Pause}, Env: []string{}, Dir: "/", SysProcAttr: attr}
	// The shim reaps all children in one place, and tells.
	exits, err := reaper.Default.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start pause: %w", err)
	}
	p := &pauseProcess{pid: cmd.Process.Pid, done: make(chan struct{})}
	go p.wait(exits)
	// Without CAP_SYS_RESOURCE it keeps the shim's.
	err = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.pid), []byte(sandboxOOMScoreAdj), 0)
	if err != nil && !errors.Is(err, os.ErrPermission) && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("protect pause: %w", err), p.kill(context.Background()))
	}
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
