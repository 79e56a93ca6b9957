package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"
)

// notifyFD is where a server in the background finds the pipe of its parent.
const notifyFD = 3

// Spawn starts "proa server" in a session of its own, with its output in the
// cluster's log file, and follows its progress until it is ready or has
// failed, or ctx ends, which ends the server too.
func Spawn(ctx context.Context, c *Config, f func(Progress)) error {
	for _, dir := range []string{c.DataDir, filepath.Dir(c.LogFile()), c.RunDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the directories of the cluster: %w", err)
		}
	}
	used := filepath.Join(c.RunDir, "config.yaml")
	data, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.WriteFile(used, data, 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return spawn(ctx, spawned{
		args: []string{"server", "--config", used}, log: c.LogFile(), start: (*exec.Cmd).Start,
	}, f)
}

// spawned is this program in the background.
type spawned struct {
	args []string
	log  string
	// start starts the process, as on another machine.
	start func(*exec.Cmd) error
}

// spawn starts this program in a session of its own and follows its progress, see
// Spawn. The program takes the flag --notify-fd.
func spawn(ctx context.Context, s spawned, f func(Progress)) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	log, err := openLog(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(exe, append(s.args, "--notify-fd", fmt.Sprint(notifyFD))...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = s.start(cmd)
	w.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.args[0], err)
	}
	// It is waited for as long as this process lives, and else by init.
	go func() { _ = cmd.Wait() }()
	// The end of ctx ends the reading of the pipe.
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	last := ReadProgress(r, f)
	stop()
	if last.Step == StepReady {
		return nil
	}
	if ctx.Err() != nil {
		last.Detail = "it was not ready in time: " + context.Cause(ctx).Error()
	}
	if err := Stop(context.WithoutCancel(ctx), cmd.Process.Pid, startGrace); err != nil {
		return fmt.Errorf("%s; and %w", last.Detail, err)
	}
	return fmt.Errorf("%s (the whole story is in %s)", last.Detail, s.log)
}

// maxLog is the size at which a start sets the previous log aside. One old log
// is kept, so that logs are bounded across restarts.
const maxLog = 20 << 20

func openLog(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("set the old log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// startGrace is how long a server that failed to start has to end by itself.
const startGrace = 15 * time.Second

// killGrace is how long a process may need to end when it was killed.
const killGrace = 30 * time.Second

// Stop ends the server with the process id, first by a request, after grace by
// force (without any grace, at once), and returns when it is gone.
func Stop(ctx context.Context, pid int, grace time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if grace > 0 {
		if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
		if gone, err := waitExit(ctx, fd, grace); gone || err != nil {
			return err
		}
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	gone, err := waitExit(ctx, fd, killGrace)
	if err == nil && !gone {
		err = fmt.Errorf("process %d does not end, even when killed", pid)
	}
	return err
}

// waitExit waits until the process behind a pidfd has ended.
func waitExit(ctx context.Context, fd int, limit time.Duration) (bool, error) {
	deadline := time.Now().Add(limit)
	for ctx.Err() == nil {
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		// Wake up now and then only to see the context.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(min(left, time.Second).Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("wait for the server: %w", err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, ctx.Err()
}
