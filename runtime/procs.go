package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is what /proc tells about one.
type process struct {
	pid, parent int
	// cwd is the working directory and root the root directory; "" if unknown.
	cwd, root string
	// args is the command line.
	args []string
}

// processes lists all that are visible. Those that end meanwhile are left out.
func processes() ([]process, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []process
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", d.Name())
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		p := process{pid: pid, parent: parentOf(string(stat))}
		if b, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
			p.args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		}
		if cwd, err := os.Readlink(filepath.Join(dir, "cwd")); err == nil {
			p.cwd = strings.TrimSuffix(cwd, " (deleted)")
		}
		if root, err := os.Readlink(filepath.Join(dir, "root")); err == nil {
			p.root = strings.TrimSuffix(root, " (deleted)")
		}
		out = append(out, p)
	}
	return out, nil
}

// parentOf finds the parent's PID in a /proc/PID/stat line: the second field
// after the name, which is in parentheses and may contain any of them.
func parentOf(stat string) int {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return 0
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return parent
}

// descendants returns the given PIDs and everything below them, parents first.
// Pure.
func descendants(all []process, roots []int) []int {
	children := map[int][]int{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	seen := map[int]bool{}
	var out []int
	queue := append([]int(nil), roots...)
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		out = append(out, pid)
		queue = append(queue, children[pid]...)
	}
	return out
}

// victim is a process to be ended, held by a descriptor, so that a PID used
// again is not mistaken for it.
type victim struct {
	pid int
	fd  int
}

// hold opens descriptors for the PIDs that still exist.
func hold(pids []int) ([]victim, error) {
	var out []victim
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		switch {
		case errors.Is(err, unix.ESRCH):
			continue
		case err != nil:
			release(out)
			return nil, fmt.Errorf("open process %d: %w", pid, err)
		}
		out = append(out, victim{pid, fd})
	}
	return out, nil
}

func release(vs []victim) {
	for _, v := range vs {
		unix.Close(v.fd)
	}
}

// signal sends sig to all; a process that is gone already does not matter.
func signal(vs []victim, sig unix.Signal) error {
	var errs []error
	for _, v := range vs {
		if err := unix.PidfdSendSignal(v.fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("signal process %d: %w", v.pid, err))
		}
	}
	return errors.Join(errs...)
}

// wait returns those that have not ended by the deadline or ctx's end. The
// kernel tells of an end by the descriptor becoming readable.
func wait(ctx context.Context, vs []victim, deadline time.Time) []victim {
	left := append([]victim(nil), vs...)
	for len(left) > 0 {
		remaining := time.Until(deadline)
		if remaining <= 0 || ctx.Err() != nil {
			return left
		}
		fds := make([]unix.PollFd, len(left))
		for i, v := range left {
			fds[i] = unix.PollFd{Fd: int32(v.fd), Events: unix.POLLIN}
		}
		// In slices, for ctx has no descriptor to poll.
		slice := min(remaining, 100*time.Millisecond)
		if _, err := unix.Poll(fds, int(slice.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return left
		}
		kept := left[:0]
		for i, v := range left {
			if fds[i].Revents == 0 {
				kept = append(kept, v)
			}
		}
		left = kept
	}
	return nil
}
