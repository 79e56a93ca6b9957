// Command containerd-shim-runc-v2 is the process that stays with pods: it holds
// their sandboxes and is the parent of their containers, so that the node may be
// killed and started again beside them.
//
// It is containerd's shim for runc, but for two things. What runc would do with a
// few system calls is done here, without running it (runc.go). And with -shared it
// serves many pods, and one service more: containerd's sandbox API, by making the
// namespaces of pods directly (package sandbox says why). It has the name of the
// original because containerd treats a shim of this name as known, and would run
// any other one an extra time for each container to ask about it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	runc "github.com/containerd/go-runc"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"golang.org/x/sys/unix"
)

var shared = flag.Bool("shared", false, "serve the pods of a node until told to end, not one task or pod")

func main() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn:   newTasks,
	})
	registry.Register(&plugin.Registration{
		Type: plugins.TTRPCPlugin,
		ID:   "sandbox",
		InitFn: func(*plugin.InitContext) (any, error) {
			if !*shared {
				return struct{}{}, nil // no service
			}
			return newService(), nil
		},
	})
	shim.RunShim(context.Background(), stopper{manager.NewShimManager(plugins.RuntimeRuncV2)})
}

// newTasks makes containerd's own service for containers.
func newTasks(ic *plugin.InitContext) (any, error) {
	events, err := ic.GetByID(plugins.EventPlugin, "publisher")
	if err != nil {
		return nil, err
	}
	end, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
	if err != nil {
		return nil, err
	}
	sd := end.(shutdown.Service)
	if *shared {
		sd = lasting{sd}
	}
	service, err := task.NewTaskService(ic.Context, events.(shim.Publisher), sd)
	if err != nil {
		return nil, err
	}
	tune()
	// The service has put its own reaper there.
	runc.Monitor = newDirect(runc.Monitor)
	return service, nil
}

// tune sets what the environment says otherwise, for runc's sake, and what
// containerd sets for shims of one pod each. A shared one has few sisters, so its
// memory counts less; collecting at every 2 MB costs too much while pods start.
// What is free goes back to the system every 30 seconds all the same.
func tune() {
	runtime.GOMAXPROCS(min(4, runtime.NumCPU()))
	if *shared {
		debug.SetGCPercent(200)
	}
}

// lasting keeps a shared shim alive when containerd, which has cleaned up after
// the only container, takes it for that container's own. Signals end it.
type lasting struct{ shutdown.Service }

func (lasting) Shutdown() {}

// stopper is containerd's own, for bundles in which no container was made too.
type stopper struct{ shim.Shim }

// taskFile is in the bundles that runc was called for.
const taskFile = "runtime"

// Stop cleans up after a container whose shim ended.
func (s stopper) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return shim.StopStatus{}, fmt.Errorf("container bundle: %w", err)
	}
	_, err = os.Stat(filepath.Join(filepath.Dir(cwd), id, taskFile))
	if errors.Is(err, fs.ErrNotExist) {
		return shim.StopStatus{ExitedAt: time.Now(), ExitStatus: 128 + int(unix.SIGKILL)}, nil
	}
	return s.Shim.Stop(ctx, id)
}
