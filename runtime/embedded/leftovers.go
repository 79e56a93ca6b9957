package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"proa/runtime/internal/procs"
)

// sandboxFile in a container's bundle names the sandbox that it is in; containerd
// writes it.
const sandboxFile = "sandbox"

// endContainers kills the containers of sandboxes whose shim is dead, and removes
// what runc keeps of them. Their bundles and records are containerd's to remove.
func endContainers(c Config, sandboxes map[string]bool) error {
	bundles, err := bundlesOf(filepath.Join(TaskDir(c.State), criNamespace), sandboxes)
	if err != nil {
		return err
	}
	if err := awaitRunc(bundles); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, bundle := range bundles {
		g.Go(func() error { return endContainer(c, bundle) })
	}
	return g.Wait()
}

// bundlesOf lists the bundles of the sandboxes' containers.
func bundlesOf(dir string, sandboxes map[string]bool) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", sandboxFile))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		if id, err := os.ReadFile(f); err == nil && sandboxes[string(id)] {
			out = append(out, filepath.Dir(f))
		}
	}
	return out, nil
}

// awaitRunc waits for what the dead shim was executing: a container that is being
// created could not be found yet, and would stay.
func awaitRunc(bundles []string) error {
	all, err := procs.List()
	if err != nil {
		return err
	}
	var busy []int
	for _, p := range all {
		if len(p.Args) == 0 || filepath.Base(p.Args[0]) != RuncBinary {
			continue
		}
		if slices.ContainsFunc(bundles, func(b string) bool { return slices.Contains(p.Args, filepath.Base(b)) }) {
			busy = append(busy, p.PID)
		}
	}
	held, err := procs.Hold(busy)
	if err != nil {
		return err
	}
	defer procs.Release(held)
	left := procs.Wait(context.Background(), held, time.Now().Add(shimTimeout))
	return procs.Signal(left, unix.SIGKILL)
}

// endTimeout bounds the end of one container.
const endTimeout = 10 * time.Second

func endContainer(c Config, bundle string) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	id := filepath.Base(bundle)
	out, err := exec.CommandContext(ctx, c.runcPath(), "--root", filepath.Join(RuncRoot(c.State), criNamespace), "delete", "--force", id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("end container %s: %w: %s", id, err, out)
	}
	err = unix.Unmount(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount the root of container %s: %w", id, err)
	}
	return nil
}
