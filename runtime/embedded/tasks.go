package embedded

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	cruntime "github.com/containerd/containerd/v2/core/runtime"
	v2 "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/plugin"
	"github.com/containerd/ttrpc"
)

// tasks is containerd's runtime of containers, but for the end of one whose shim
// has died.
//
// containerd takes the loss of the connection to a shim for the end of the
// containers there: it tells of it at once, and removes the bundles by which they
// could be found. But they go on without their shim, and a node that starts them
// anew has them twice. So nobody is told before they have been ended.
type tasks struct {
	*v2.TaskManager
	shims *shims
	now   func() time.Time
}

// heldTasks puts tasks in the place of containerd's plugin.
func heldTasks(reg plugin.Registration, shims *shims) plugin.Registration {
	load := reg.InitFn
	reg.InitFn = func(ic *plugin.InitContext) (any, error) {
		instance, err := load(ic)
		if err != nil {
			return nil, err
		}
		return &tasks{instance.(*v2.TaskManager), shims, time.Now}, nil
	}
	return reg
}

// Get returns a container's task.
func (r *tasks) Get(ctx context.Context, id string) (cruntime.Task, error) {
	task, err := r.TaskManager.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &heldTask{shimTask: task.(shimTask), runtime: r}, nil
}

// shimTask is what containerd's tasks are.
type shimTask interface {
	cruntime.Task
	Client() any
	Endpoint() (address string, version int)
}

type heldTask struct {
	shimTask
	runtime *tasks
}

// Wait returns when the container has ended, however that came.
func (t *heldTask) Wait(ctx context.Context) (*cruntime.Exit, error) {
	exit, err := t.shimTask.Wait(ctx)
	if err == nil || ctx.Err() != nil || !t.cut(ctx) {
		return exit, err
	}
	// A connection is closed too when its container was deleted, of which
	// somebody who waited may hear late.
	if _, gone := t.runtime.TaskManager.Get(ctx, t.ID()); gone != nil {
		return nil, err
	}
	address, _ := t.Endpoint()
	if serr := t.runtime.shims.awaitEnd(ctx, filepath.Base(address), t.ID()); serr != nil {
		return nil, errors.Join(err, serr)
	}
	return &cruntime.Exit{Status: killed, Timestamp: t.runtime.now()}, nil
}

// cut tells whether the connection to the container's shim is closed.
func (t *heldTask) cut(ctx context.Context) bool {
	conn, ok := t.Client().(*ttrpc.Client)
	if !ok {
		return false
	}
	_, err := taskapi.NewTTRPCTaskClient(conn).Connect(ctx, &taskapi.ConnectRequest{ID: t.ID()})
	return errors.Is(err, ttrpc.ErrClosed)
}
