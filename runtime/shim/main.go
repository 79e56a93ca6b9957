// Command containerd-shim-runc-v2 is the process that stays with a pod: it holds
// the pod's sandbox and is the parent of its containers, so that the node may be
// killed and started again beside them.
//
// It is containerd's shim for runc, unchanged, with one service more: containerd's
// sandbox API, served by making the pod's namespaces directly (package sandbox
// says why). It has the name of the original because containerd treats a shim of
// this name as known, and would run any other one an extra time for each
// container to ask about it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task/plugin"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"golang.org/x/sys/unix"
)

func main() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "sandbox",
		Requires: []plugin.Type{plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			s, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return newService(s.(shutdown.Service)), nil
		},
	})
	shim.RunShim(context.Background(), starter{manager.NewShimManager(plugins.RuntimeRuncV2)})
}

// starter is containerd's own, for bundles without a specification too: those of
// sandboxes.
type starter struct{ shim.Shim }

// specFile is read by the original for the pod that a container belongs to.
const specFile = "config.json"

func (s starter) Start(ctx context.Context, p *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	if _, err := os.Stat(specFile); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(specFile, []byte("{}"), 0o600); err != nil {
			return nil, fmt.Errorf("sandbox bundle: %w", err)
		}
	}
	return s.Shim.Start(ctx, p)
}

// taskFile is in the bundles that runc was called for.
const taskFile = "runtime"

// Stop cleans up after a shim that ended. A sandbox's bundle has nothing that runc
// would know: pause died with its parent.
func (s starter) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return shim.StopStatus{}, fmt.Errorf("sandbox bundle: %w", err)
	}
	_, err = os.Stat(filepath.Join(filepath.Dir(cwd), id, taskFile))
	if errors.Is(err, fs.ErrNotExist) {
		return shim.StopStatus{ExitedAt: time.Now(), ExitStatus: 128 + int(unix.SIGKILL)}, nil
	}
	return s.Shim.Stop(ctx, id)
}
