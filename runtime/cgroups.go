package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRoots lists the mount points of all cgroup hierarchies, of version 1 and
// 2. Pure.
func cgroupRoots(mountinfo string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		head, tail, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		h, t := strings.Fields(head), strings.Fields(tail)
		if len(h) < 5 || len(t) < 1 {
			continue
		}
		// A hierarchy mounted from below its root belongs to a container.
		if (t[0] == "cgroup" || t[0] == "cgroup2") && h[3] == "/" {
			out = append(out, unescapeMount(h[4]))
		}
	}
	return out
}

// cgroupDirs returns the directories of a cgroup in all hierarchies that have
// it. A path that would reach out of them, or be their root, is refused.
func cgroupDirs(roots []string, path string) ([]string, error) {
	clean := filepath.Clean("/" + path)
	if clean == "/" {
		return nil, fmt.Errorf("cgroup %q is the root", path)
	}
	var out []string
	for _, r := range roots {
		dir := filepath.Join(r, clean)
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			out = append(out, dir)
		}
	}
	return out, nil
}

// cgroupProcs lists the processes in a cgroup directory and below.
func cgroupProcs(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.Name() != "cgroup.procs":
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			// Gone, or a threaded cgroup, whose processes are listed above it.
			return nil
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("processes of cgroup %s: %w", dir, err)
	}
	return pids, nil
}

// removeCgroup removes a cgroup directory with all below it, leaves first. It
// has to be empty of processes.
func removeCgroup(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			dirs = append(dirs, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove cgroup %s: %w", dir, err)
	}
	var errs []error
	for _, d := range slices.Backward(dirs) {
		// Not RemoveAll: the files in it cannot be deleted and need not be.
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", d, err))
		}
	}
	return errors.Join(errs...)
}
