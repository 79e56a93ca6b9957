package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// removeTries and removeWait bound the wait for killed processes to leave:
	// the kernel tells of it by nothing that can be awaited on v1.
	removeTries = 40
	removeWait  = 2 * time.Millisecond
	removeMax   = 200 * time.Millisecond
)

// remove kills every process below a cgroup and removes it with its children,
// in every hierarchy. Callers hold mu.
func (m *Manager) remove(n name) error {
	paths, err := m.paths(n)
	if err != nil {
		return err
	}
	prefix := n.fs()
	for k := range m.applied {
		if k == prefix || strings.HasPrefix(k, prefix+"/") {
			delete(m.applied, k)
		}
	}
	left := map[string]bool{}
	for _, dir := range paths {
		left[dir] = true
	}
	wait := removeWait
	for try := 0; ; try++ {
		var last error
		for dir := range left {
			if err := removeTree(dir); err != nil {
				last = err
				continue
			}
			delete(left, dir)
		}
		if len(left) == 0 {
			return nil
		}
		if try == removeTries {
			return last
		}
		killed := 0
		for dir := range left {
			killed += killTree(dir)
		}
		if killed > 0 && try == 0 {
			m.cfg.Log.Info("killed processes left in a cgroup", "cgroup", prefix, "processes", killed)
		}
		time.Sleep(wait)
		wait = min(2*wait, removeMax)
	}
}

// removeTree removes a cgroup directory and those below it, leaves first. A
// cgroup's files go with it, so only directories count.
func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, rerr := os.ReadDir(dir)
	if errors.Is(rerr, fs.ErrNotExist) {
		return nil
	}
	if rerr != nil {
		return rerr
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}

// killTree kills every process below a cgroup and says how many there were.
func killTree(dir string) (killed int) {
	// v2 kills a tree at once, and nothing forks out of it meanwhile.
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err == nil {
		return 1
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if d.IsDir() {
			b, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for f := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
					if unix.Kill(pid, unix.SIGKILL) == nil {
						killed++
					}
				}
			}
		}
		return nil
	})
	return killed
}
