package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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
	bundled, err := bundlesOf(filepath.Join(TaskDir(c.State), criNamespace), sandboxes)
	if err != nil {
		return err
	}
	if err := awaitRunc(bundled); err != nil {
		return err
	}
	// containerd gives up a bundle when a container's creation fails, and it fails
	// with the shim, whatever runc has made by then.
	noted, err := notedOf(filepath.Join(RuncRoot(c.State), criNamespace), sandboxes)
	if err != nil {
		return err
	}
	for _, id := range bundled {
		noted[id] = true
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for id := range noted {
		g.Go(func() error { return endContainer(c, id) })
	}
	return g.Wait()
}

// bundlesOf lists the sandboxes' containers that have a bundle.
func bundlesOf(dir string, sandboxes map[string]bool) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", sandboxFile))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		if id, err := os.ReadFile(f); err == nil && sandboxes[string(id)] {
			out = append(out, filepath.Base(filepath.Dir(f)))
		}
	}
	return out, nil
}

// sandboxLabel is what runc has noted of a container's sandbox: CRI's annotation.
const sandboxLabel = "io.kubernetes.cri.sandbox-id="

// notedOf gives the sandboxes' containers that runc has a record of.
func notedOf(dir string, sandboxes map[string]bool) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "state.json"))
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // removed since
		}
		var state struct {
			Config struct {
				Labels []string `json:"labels"`
			} `json:"config"`
		}
		if json.Unmarshal(b, &state) != nil {
			continue // half written, and so without a process
		}
		for _, label := range state.Config.Labels {
			if id, ok := strings.CutPrefix(label, sandboxLabel); ok && sandboxes[id] {
				out[filepath.Base(filepath.Dir(f))] = true
			}
		}
	}
	return out, nil
}

// awaitRunc waits for what the dead shim was executing: a container that is being
// created could not be found yet, and would stay.
func awaitRunc(ids []string) error {
	all, err := procs.List()
	if err != nil {
		return err
	}
	var busy []int
	for _, p := range all {
		if len(p.Args) == 0 || filepath.Base(p.Args[0]) != RuncBinary {
			continue
		}
		if slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(p.Args, id) }) {
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

func endContainer(c Config, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.runcPath(), "--root", filepath.Join(RuncRoot(c.State), criNamespace), "delete", "--force", id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("end container %s: %w: %s", id, err, out)
	}
	err = unix.Unmount(filepath.Join(TaskDir(c.State), criNamespace, id, "rootfs"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount the root of container %s: %w", id, err)
	}
	return nil
}
