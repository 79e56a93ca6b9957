package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// account is a cgroup of this run's own, for the server and all that it starts
// outside of the pods' cgroups: shims, runc, CNI plugins. The kernel adds up what
// they use, also of those that have ended and that nobody waited for, which the
// process table cannot tell.
type account struct {
	server string // the directory of the cgroup
	pods   string // of the pods' root, once the server has made it
	file   string // the counter's name in both
	unit   time.Duration
}

const cgroupMount = "/sys/fs/cgroup"

// newAccount makes the cgroup, under version 1 or 2.
func newAccount(id string) (*account, error) {
	a := &account{file: "cpuacct.usage", unit: time.Nanosecond}
	root := filepath.Join(cgroupMount, "cpuacct")
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		root, a.file, a.unit = cgroupMount, "cpu.stat", time.Microsecond
	}
	a.server, a.pods = filepath.Join(root, id+"-server"), filepath.Join(root, id)
	if err := os.Mkdir(a.server, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup to account in: %w", err)
	}
	return a, nil
}

// join puts a process in, and with it what it starts from now on.
func (a *account) join(pid int) error {
	if err := os.WriteFile(filepath.Join(a.server, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("account process %d: %w", pid, err)
	}
	return nil
}

// used is the CPU time of everything so far, the containers included.
func (a *account) used() (time.Duration, error) {
	var sum time.Duration
	for _, dir := range []string{a.server, a.pods} {
		b, err := os.ReadFile(filepath.Join(dir, a.file))
		if errors.Is(err, fs.ErrNotExist) && dir == a.pods {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		n, err := parseUsage(string(b))
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %s/%s: %w", dir, a.file, err)
		}
		sum += time.Duration(n) * a.unit
	}
	return sum, nil
}

// parseUsage reads a counter: a number, or a list that begins with one's name.
func parseUsage(text string) (int64, error) {
	first, _, _ := strings.Cut(text, "\n")
	return strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(first), "usage_usec "), 10, 64)
}

// close removes the cgroup, which has to be empty.
func (a *account) close() error {
	if err := os.Remove(a.server); err != nil {
		return fmt.Errorf("remove the cgroup to account in: %w", err)
	}
	return nil
}

// processes are those in the account, and in the cgroups of the pods.
func (a *account) processes() ([]process, error) {
	var all []process
	for _, dir := range []string{a.server, a.pods} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a pod that has ended meanwhile
			}
			if err != nil || d.Name() != "cgroup.procs" {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil // the same
			}
			for _, line := range strings.Fields(string(b)) {
				pid, err := strconv.Atoi(line)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				if p, err := readProcess(pid); err == nil {
					all = append(all, p)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("processes of the account: %w", err)
		}
	}
	return all, nil
}

// resetPeaks makes every process's highest memory its present one, where the
// kernel can.
func (a *account) resetPeaks() error {
	all, err := a.processes()
	for _, p := range all {
		// It may have ended, or the kernel may not know how: then the peak is
		// that of the whole life.
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid), []byte("5"), 0)
	}
	return err
}

// peak is the sum of the highest memory of every process, in bytes: no less than
// the highest sum.
func (a *account) peak() (sum int64, err error) {
	all, err := a.processes()
	for _, p := range all {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid)); err == nil {
			sum += parsePeak(string(status))
		}
	}
	return sum, err
}

// parsePeak reads the highest memory of a process from its status, in bytes. A
// process that is ending has none.
func parsePeak(status string) int64 {
	_, rest, _ := strings.Cut(status, "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "kB")), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}
