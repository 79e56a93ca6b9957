package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"proa/runtime/internal/procs"
)

// Pods that need upstream's sandbox have a shim of containerd's own making. A
// process that is killed while it starts one leaves a helper that finishes the
// start, and then a shim that containerd does not know: it finds no complete bundle
// for it, removes what there is, and forgets it. Such a shim would stay for ever.

// helperTimeout bounds the wait for helpers of the process before this one. They
// take milliseconds.
const helperTimeout = 5 * time.Second

// shimActions are what a shim is executed for in order to end soon, in contrast to
// being a pod's shim.
var shimActions = []string{"start", "delete"}

// isShimOf tells the shims of the runtime with this socket.
func isShimOf(p procs.Process, socket string) bool {
	if len(p.Args) == 0 || filepath.Base(p.Args[0]) != ShimBinary {
		return false
	}
	i := slices.Index(p.Args, "-address")
	return i >= 0 && i+1 < len(p.Args) && p.Args[i+1] == socket
}

// awaitHelpers returns when nothing is starting or cleaning up a shim any more. It
// is called before containerd looks for the shims that there are.
func awaitHelpers(ctx context.Context, socket string) error {
	all, err := procs.List()
	if err != nil {
		return err
	}
	var helpers []int
	for _, p := range all {
		if isShimOf(p, socket) && slices.Contains(shimActions, p.Args[len(p.Args)-1]) {
			helpers = append(helpers, p.PID)
		}
	}
	held, err := procs.Hold(helpers)
	if err != nil {
		return err
	}
	defer procs.Release(held)
	procs.Wait(ctx, held, time.Now().Add(helperTimeout))
	return nil
}

// endOrphans ends the shims that containerd has forgotten: those whose bundle is
// gone. One that still has containers is left to the node agent, which sees them
// through their own bundles.
func endOrphans(c Config, log *slog.Logger) error {
	all, err := procs.List()
	if err != nil {
		return err
	}
	orphans := orphans(all, c.Socket)
	if len(orphans) == 0 {
		return nil
	}
	held, err := procs.Hold(orphans)
	if err != nil {
		return err
	}
	defer procs.Release(held)
	log.Info("ending shims of pods that were not started to the end", "shims", len(held))
	if err := procs.Signal(held, unix.SIGKILL); err != nil {
		return fmt.Errorf("end forgotten shims: %w", err)
	}
	return nil
}

// orphans picks the shims without a bundle and without a child. Pure.
func orphans(all []procs.Process, socket string) []int {
	var out []int
	for _, shim := range all {
		if !isShimOf(shim, socket) || !shim.CwdGone {
			continue
		}
		busy := slices.ContainsFunc(all, func(p procs.Process) bool { return p.Parent == shim.PID })
		if !busy {
			out = append(out, shim.PID)
		}
	}
	return out
}
