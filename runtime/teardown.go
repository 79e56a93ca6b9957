package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"proa/runtime/embedded"
	"proa/runtime/internal/procs"
)

// TeardownConfig says what to remove.
type TeardownConfig struct {
	// Root and State of the embedded runtime.
	Root, State string
	// Socket of the embedded runtime, if it is not in State.
	Socket string
	// CgroupParents are the cgroups that pods were put below, such as
	// /kubepods. Processes in them are killed and they are removed; so name
	// only what is the node's own.
	CgroupParents []string
	// Grace is how long containers have between SIGTERM and SIGKILL; without
	// it they are killed at once.
	Grace time.Duration
	// Purge removes Root with the images, too. Otherwise the next start finds
	// the images there.
	Purge bool
	// Logger is told what is removed. Default: slog.Default().
	Logger *slog.Logger
}

// killTimeout bounds the wait for killed processes to be gone. The kernel needs
// milliseconds; one stuck in a dead device may need forever.
const killTimeout = 10 * time.Second

// Teardown ends every container and shim of an embedded runtime and removes its
// mounts, network namespaces, cgroups and files. It works from what is on disk
// and in /proc, and needs no running daemon: the one that made it all may have
// been killed. Everything that is not there any more is fine, so that it can be
// repeated. It refuses while a runtime is alive on Root (embedded.ErrInUse), and
// never deletes a file below a directory that still has mounts in it.
//
// Bridge, addresses and port mappings belong to the pod network: call its
// Teardown before, for it reads records that may be kept in State.
func Teardown(ctx context.Context, c TeardownConfig) error {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if !filepath.IsAbs(c.Root) || !filepath.IsAbs(c.State) {
		return fmt.Errorf("tear down container runtime: Root %q and State %q must be absolute paths", c.Root, c.State)
	}
	unlock, err := embedded.Lock(c.Root)
	if err != nil {
		return fmt.Errorf("tear down container runtime: %w", err)
	}
	defer unlock()

	bundles, err := findBundles(c.State)
	if err != nil {
		return fmt.Errorf("tear down container runtime: %w", err)
	}
	cgroups, err := findCgroups(c.CgroupParents, bundles)
	if err != nil {
		return fmt.Errorf("tear down container runtime: %w", err)
	}
	if err := endProcesses(ctx, c, bundles, cgroups); err != nil {
		return fmt.Errorf("tear down container runtime: %w", err)
	}
	var errs []error
	for _, dir := range cgroups {
		errs = append(errs, removeCgroup(dir))
	}
	shimSockets := embedded.ShimSocketDir(c.State)
	if err := unmountBelow(c.Root, c.State); err != nil {
		// Nothing is deleted then: a mount may lead to somebody's data.
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, removeContent(shimSockets), embedded.ReleaseState(c.State))
	if c.Socket != "" {
		errs = append(errs, removeFile(c.Socket), removeFile(c.Socket+".ttrpc"))
	}
	if c.Purge {
		errs = append(errs, removeContent(c.Root))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tear down container runtime: %w", err)
	}
	c.Logger.Info("container runtime removed", "containers", len(bundles), "state", c.State)
	return nil
}

// bundle is a container's directory under State.
type bundle struct {
	id, dir string
	// cgroup is the path in every hierarchy, "" if unknown.
	cgroup string
	// init is the PID of the container's first process, 0 if unknown. It is
	// only a hint: the number may have been used again.
	init int
}

func findBundles(state string) ([]bundle, error) {
	dirs, err := filepath.Glob(filepath.Join(embedded.TaskDir(state), "*", "*"))
	if err != nil {
		return nil, err
	}
	var out []bundle
	for _, dir := range dirs {
		b := bundle{id: filepath.Base(dir), dir: dir}
		if strings.HasPrefix(b.id, ".") {
			continue
		}
		if data, err := os.ReadFile(filepath.Join(dir, "init.pid")); err == nil {
			b.init, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		b.cgroup = bundleCgroup(dir)
		out = append(out, b)
	}
	return out, nil
}

// bundleCgroup reads a container's cgroup from its OCI specification. A path of
// systemd's form (slice:prefix:name) is left to the cgroup parents.
func bundleCgroup(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	var spec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if json.Unmarshal(data, &spec) != nil || strings.Contains(spec.Linux.CgroupsPath, ":") {
		return ""
	}
	return spec.Linux.CgroupsPath
}

// findCgroups lists the directories of the parents and of the bundles' cgroups.
func findCgroups(parents []string, bundles []bundle) ([]string, error) {
	info, err := os.ReadFile(mountInfo)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	roots := cgroupRoots(string(info))
	paths := slices.Clone(parents)
	for _, b := range bundles {
		if b.cgroup != "" {
			paths = append(paths, b.cgroup)
		}
	}
	var out []string
	for _, p := range paths {
		dirs, err := cgroupDirs(roots, p)
		if err != nil {
			return nil, err
		}
		out = append(out, dirs...)
	}
	return out, nil
}

// endProcesses ends containers and shims, and returns when they are gone.
func endProcesses(ctx context.Context, c TeardownConfig, bundles []bundle, cgroups []string) error {
	grace := c.Grace
	// Some may be starting others while they are listed; what a round finds is
	// dead at its end, so that soon nothing is left to start anything.
	for deadline := time.Now().Add(grace + killTimeout); ; grace = 0 {
		f, err := findProcesses(c, bundles, cgroups)
		if err != nil {
			return err
		}
		if f.empty() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of containers keep coming back: %v %v", f.containers, f.shims)
		}
		if err := end(ctx, f, grace); err != nil {
			return err
		}
	}
}

// found are the processes of a runtime.
type found struct {
	containers, shims []int
	// helpers are shims called to clean up after a dead one. They end by
	// themselves, and what they started (runc) with them.
	helpers []int
}

func (f found) empty() bool { return len(f.containers)+len(f.shims)+len(f.helpers) == 0 }

// findProcesses looks for what is left. A process counts as a container's if it
// is in one of the cgroups, below a shim, has its root in State, or is the init
// that a bundle names and still in that container's cgroup.
func findProcesses(c TeardownConfig, bundles []bundle, cgroups []string) (found, error) {
	var f found
	all, err := procs.List()
	if err != nil {
		return f, err
	}
	for _, p := range all {
		switch {
		case !isShim(p, c):
		case p.Args[len(p.Args)-1] == "delete":
			f.helpers = append(f.helpers, p.PID)
		default:
			f.shims = append(f.shims, p.PID)
		}
	}
	f.containers = procs.Descendants(all, f.shims)
	for _, p := range all {
		// A pause process, or a container: no other has its root there. Or a runc
		// whose shim ended before it.
		if below(p.Root, c.State) || isRunc(p, c) {
			f.containers = append(f.containers, p.PID)
		}
	}
	for _, dir := range cgroups {
		pids, err := cgroupProcs(dir)
		if err != nil {
			return f, err
		}
		f.containers = append(f.containers, pids...)
	}
	for _, b := range bundles {
		if b.init > 1 && inCgroupOf(b.init, b.id) {
			f.containers = append(f.containers, b.init)
		}
	}
	slices.Sort(f.containers)
	f.containers = slices.Compact(f.containers)
	apart := append(procs.Descendants(all, f.helpers), f.shims...)
	apart = append(apart, os.Getpid())
	f.containers = slices.DeleteFunc(f.containers, func(pid int) bool { return slices.Contains(apart, pid) })
	return f, nil
}

// isShim tells the shims of this runtime: their working directory is a bundle,
// or they were given the runtime's socket.
func isShim(p procs.Process, c TeardownConfig) bool {
	if len(p.Args) == 0 || filepath.Base(p.Args[0]) != embedded.ShimBinary {
		return false
	}
	if below(p.Cwd, c.State) {
		return true
	}
	i := slices.Index(p.Args, "-address")
	return i >= 0 && i+1 < len(p.Args) && c.Socket != "" && p.Args[i+1] == c.Socket
}

// isRunc tells the runc processes of this runtime by the state directory that they
// were given.
func isRunc(p procs.Process, c TeardownConfig) bool {
	if len(p.Args) == 0 || filepath.Base(p.Args[0]) != embedded.RuncBinary {
		return false
	}
	i := slices.Index(p.Args, "--root")
	return i >= 0 && i+1 < len(p.Args) && below(p.Args[i+1], embedded.RuncRoot(c.State))
}

// inCgroupOf tells whether a process is in a cgroup named after the container.
func inCgroupOf(pid int, id string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(b), id)
}

// end ends the containers, with grace, and the shims, and lets the helpers
// finish.
func end(ctx context.Context, f found, grace time.Duration) error {
	cs, err := procs.Hold(f.containers)
	if err != nil {
		return err
	}
	defer procs.Release(cs)
	ss, err := procs.Hold(f.shims)
	if err != nil {
		return err
	}
	defer procs.Release(ss)
	hs, err := procs.Hold(f.helpers)
	if err != nil {
		return err
	}
	defer procs.Release(hs)

	left := cs
	if grace > 0 {
		if err := procs.Signal(cs, unix.SIGTERM); err != nil {
			return err
		}
		left = procs.Wait(ctx, cs, time.Now().Add(grace))
	}
	// Shims first: one that still runs would report the exits to nobody. What
	// they leave is reaped by init.
	if err := errors.Join(procs.Signal(ss, unix.SIGKILL), procs.Signal(left, unix.SIGKILL)); err != nil {
		return err
	}
	deadline := time.Now().Add(killTimeout)
	if stuck := procs.Wait(ctx, append(slices.Clone(ss), left...), deadline); len(stuck) > 0 {
		return fmt.Errorf("process %d does not end after SIGKILL", stuck[0].PID)
	}
	return procs.Signal(procs.Wait(ctx, hs, deadline), unix.SIGKILL)
}

// removeContent deletes a directory. If it is a mount point itself, which the
// operator made, only what is in it.
func removeContent(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, unix.EBUSY) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is busy and not empty", dir)
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
