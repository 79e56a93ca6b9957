package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	apitypes "github.com/containerd/containerd/api/types"
	csandbox "github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"proa/runtime/sandbox"
)

// lightSandboxes is a sandbox controller for the pods in shared shims: it finds
// the pod's shim and asks it.
type lightSandboxes struct {
	shims *shims
	now   func() time.Time
}

var _ csandbox.Controller = (*lightSandboxes)(nil)

// shimVersion is that of containerd's interface to shims which have pods.
const shimVersion = 3

// killed is the exit status of what ended with its shim.
const killed = 128 + uint32(unix.SIGKILL)

// native makes containerd's errors of what a shim answered. A shim that ended while
// it was spoken to, or a moment before, is unavailable.
func native(err error) error {
	if errors.Is(err, ttrpc.ErrClosed) {
		return fmt.Errorf("%w: %w", errdefs.ErrUnavailable, err)
	}
	return errgrpc.ToNative(err)
}

// Create assigns a shim and hands it the sandbox.
func (c *lightSandboxes) Create(ctx context.Context, info csandbox.Sandbox, opts ...csandbox.CreateOpt) error {
	var o csandbox.CreateOptions
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return err
		}
	}
	s, err := c.shims.assign(info.ID)
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", info.ID, err)
	}
	_, err = s.api.CreateSandbox(ctx, &api.CreateSandboxRequest{
		SandboxID: info.ID, Options: typeurl.MarshalProto(o.Options), NetnsPath: o.NetNSPath, Annotations: o.Annotations,
	})
	if err != nil {
		c.shims.release(info.ID)
		return fmt.Errorf("create sandbox %s: %w", info.ID, native(err))
	}
	return nil
}

// Start starts a sandbox. One that fails is gone afterwards.
func (c *lightSandboxes) Start(ctx context.Context, id string) (csandbox.ControllerInstance, error) {
	var none csandbox.ControllerInstance
	s, err := c.shims.get(id)
	if err != nil {
		return none, err
	}
	resp, err := s.api.StartSandbox(ctx, &api.StartSandboxRequest{SandboxID: id})
	if err != nil {
		err = fmt.Errorf("start sandbox %s: %w", id, native(err))
		if serr := c.Shutdown(context.WithoutCancel(ctx), id); serr != nil {
			err = fmt.Errorf("%w, and then: %w", err, serr)
		}
		return none, err
	}
	return csandbox.ControllerInstance{
		SandboxID: id, Pid: resp.GetPid(), CreatedAt: resp.GetCreatedAt().AsTime(),
		Address: c.shims.address(s), Version: shimVersion,
	}, nil
}

// Platform is not asked for: the sandboxer answers.
func (c *lightSandboxes) Platform(context.Context, string) (imagespec.Platform, error) {
	return imagespec.Platform{}, errdefs.ErrNotImplemented
}

// Stop ends the sandbox's process. One without a shim has none.
func (c *lightSandboxes) Stop(ctx context.Context, id string, _ ...csandbox.StopOpt) error {
	s, err := c.shims.get(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.api.StopSandbox(ctx, &api.StopSandboxRequest{SandboxID: id})
	if err = native(err); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsUnavailable(err) {
		return fmt.Errorf("stop sandbox %s: %w", id, err)
	}
	return nil
}

// Wait returns when the sandbox has ended; if its shim has, when its containers
// have too.
func (c *lightSandboxes) Wait(ctx context.Context, id string) (csandbox.ExitStatus, error) {
	s, err := c.shims.get(id)
	if err != nil {
		return csandbox.ExitStatus{}, err
	}
	resp, err := s.api.WaitSandbox(ctx, &api.WaitSandboxRequest{SandboxID: id})
	if err == nil {
		return csandbox.ExitStatus{ExitStatus: resp.GetExitStatus(), ExitedAt: resp.GetExitedAt().AsTime()}, nil
	}
	if err = native(err); !errdefs.IsUnavailable(err) {
		return csandbox.ExitStatus{}, fmt.Errorf("wait for sandbox %s: %w", id, err)
	}
	select {
	case <-s.gone:
		return csandbox.ExitStatus{ExitStatus: killed, ExitedAt: c.now()}, nil
	case <-ctx.Done():
		return csandbox.ExitStatus{}, ctx.Err()
	}
}

// Status asks for a sandbox's state. One without a shim is dead.
func (c *lightSandboxes) Status(ctx context.Context, id string, verbose bool) (csandbox.ControllerStatus, error) {
	dead := csandbox.ControllerStatus{SandboxID: id, State: sandbox.NotReady, ExitedAt: c.now()}
	s, err := c.shims.get(id)
	if errdefs.IsNotFound(err) {
		return dead, nil
	}
	if err != nil {
		return csandbox.ControllerStatus{}, err
	}
	resp, err := s.api.SandboxStatus(ctx, &api.SandboxStatusRequest{SandboxID: id, Verbose: verbose})
	if err = native(err); errdefs.IsNotFound(err) || errdefs.IsUnavailable(err) {
		return dead, nil
	}
	if err != nil {
		return csandbox.ControllerStatus{}, fmt.Errorf("status of sandbox %s: %w", id, err)
	}
	return csandbox.ControllerStatus{
		SandboxID: id, Pid: resp.GetPid(), State: resp.GetState(), Info: resp.GetInfo(),
		CreatedAt: resp.GetCreatedAt().AsTime(), ExitedAt: resp.GetExitedAt().AsTime(),
		Address: c.shims.address(s), Version: shimVersion,
	}, nil
}

// Shutdown ends a sandbox and takes it from its shim, dead or alive.
func (c *lightSandboxes) Shutdown(ctx context.Context, id string) error {
	s, err := c.shims.get(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.api.ShutdownSandbox(ctx, &api.ShutdownSandboxRequest{SandboxID: id})
	if err = native(err); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsUnavailable(err) {
		return fmt.Errorf("shut down sandbox %s: %w", id, err)
	}
	c.shims.release(id)
	return nil
}

// Metrics has none: the pod's cgroup is the one to measure.
func (c *lightSandboxes) Metrics(context.Context, string) (*apitypes.Metric, error) {
	return nil, errdefs.ErrNotImplemented
}

// Update has nothing to change: a light sandbox has no resources.
func (c *lightSandboxes) Update(context.Context, string, csandbox.Sandbox, ...string) error {
	return nil
}
