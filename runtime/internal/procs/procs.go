// Package procs finds processes and ends them: those of a container runtime, which
// outlive the process that started them.
package procs

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

// Process is what /proc tells about one.
type Process struct {
	PID, Parent int
	// Cwd is the working directory and Root the root directory; "" if unknown.
	Cwd, Root string
	// CwdGone is set if the working directory was removed.
	CwdGone bool
	// Args is the command line.
	Args []string
}

// List lists all that are visible. Those that end meanwhile are left out.
func List() ([]Process, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []Process
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
		p := Process{PID: pid, Parent: parentOf(string(stat))}
		if b, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
			p.Args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		}
		if cwd, err := os.Readlink(filepath.Join(dir, "cwd")); err == nil {
			p.Cwd, p.CwdGone = strings.CutSuffix(cwd, " (deleted)")
		}
		if root, err := os.Readlink(filepath.Join(dir, "root")); err == nil {
			p.Root = strings.TrimSuffix(root, " (deleted)")
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

// Descendants returns the given PIDs and everything below them, parents first.
// Pure.
func Descendants(all []Process, roots []int) []int {
	children := map[int][]int{}
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p.PID)
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

// Victim is a process to be ended, held by a descriptor, so that a PID used
// again is not mistaken for it.
type Victim struct {
	PID int
	fd  int
}

// Hold opens descriptors for the PIDs that still exist.
func Hold(pids []int) ([]Victim, error) {
	var out []Victim
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		switch {
		case errors.Is(err, unix.ESRCH):
			continue
		case err != nil:
			Release(out)
			return nil, fmt.Errorf("open process %d: %w", pid, err)
		}
		out = append(out, Victim{pid, fd})
	}
	return out, nil
}

// Release closes the descriptors.
func Release(vs []Victim) {
	for _, v := range vs {
		unix.Close(v.fd)
	}
}

// Signal sends sig to all; a process that is gone already does not matter.
func Signal(vs []Victim, sig unix.Signal) error {
	var errs []error
	for _, v := range vs {
		if err := unix.PidfdSendSignal(v.fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("signal process %d: %w", v.PID, err))
		}
	}
	return errors.Join(errs...)
}

// Wait returns those that have not ended by the deadline or ctx's end. The
// kernel tells of an end by the descriptor becoming readable.
func Wait(ctx context.Context, vs []Victim, deadline time.Time) []Victim {
	left := append([]Victim(nil), vs...)
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
