package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"proa/runtime/sandbox"
)

// service is the sandbox API of the one pod that this process is for.
type service struct {
	shutdown shutdown.Service

	mu      sync.Mutex
	id      string
	spec    sandbox.Spec
	pause   *pauseProcess // nil until started
	created time.Time
}

func newService(s shutdown.Service) *service { return &service{shutdown: s} }

var _ api.TTRPCSandboxService = (*service)(nil)

// RegisterTTRPC puts the API on the shim's socket.
func (s *service) RegisterTTRPC(srv *ttrpc.Server) error {
	api.RegisterTTRPCSandboxService(srv, s)
	return nil
}

// CreateSandbox takes the specification.
func (s *service) CreateSandbox(_ context.Context, r *api.CreateSandboxRequest) (*api.CreateSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != "" {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "this shim is for sandbox %s", s.id)
	}
	if r.GetOptions().GetTypeUrl() != sandbox.SpecType {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "sandbox options are of type %q", r.GetOptions().GetTypeUrl())
	}
	var spec sandbox.Spec
	if err := json.Unmarshal(r.GetOptions().GetValue(), &spec); err != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "sandbox options: %v", err)
	}
	spec.NetNS = r.GetNetnsPath()
	if err := spec.Validate(); err != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "%v", err)
	}
	s.id, s.spec = r.GetSandboxID(), spec
	return &api.CreateSandboxResponse{}, nil
}

// StartSandbox makes the namespaces and starts pause in them.
func (s *service) StartSandbox(_ context.Context, r *api.StartSandboxRequest) (*api.StartSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r.GetSandboxID()); err != nil {
		return nil, err
	}
	if s.pause != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "sandbox %s was started", s.id)
	}
	p, err := startPause(s.spec)
	if err != nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("sandbox %s: %w", s.id, err))
	}
	s.pause, s.created = p, time.Now()
	return &api.StartSandboxResponse{Pid: uint32(p.pid), CreatedAt: timestamppb.New(s.created)}, nil
}

// check tells whether a call is for this shim's sandbox. The caller holds mu.
func (s *service) check(id string) error {
	if id != s.id {
		return errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s", id)
	}
	return nil
}

// started returns the pause process of a started sandbox.
func (s *service) started(id string) (*pauseProcess, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(id); err != nil {
		return nil, err
	}
	if s.pause == nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s was not started", id)
	}
	return s.pause, nil
}

// StopSandbox ends pause, and with it the namespaces that nobody else is in. It
// returns when pause is gone.
func (s *service) StopSandbox(ctx context.Context, r *api.StopSandboxRequest) (*api.StopSandboxResponse, error) {
	p, err := s.started(r.GetSandboxID())
	if err != nil {
		return nil, err
	}
	if err := p.kill(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &api.StopSandboxResponse{}, nil
}

// WaitSandbox returns when pause has ended.
func (s *service) WaitSandbox(ctx context.Context, r *api.WaitSandboxRequest) (*api.WaitSandboxResponse, error) {
	p, err := s.started(r.GetSandboxID())
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		return &api.WaitSandboxResponse{ExitStatus: uint32(p.status), ExitedAt: timestamppb.New(p.exited)}, nil
	case <-ctx.Done():
		return nil, errgrpc.ToGRPC(ctx.Err())
	}
}

// SandboxStatus tells whether the pod has its namespaces.
func (s *service) SandboxStatus(_ context.Context, r *api.SandboxStatusRequest) (*api.SandboxStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r.GetSandboxID()); err != nil {
		return nil, err
	}
	resp := &api.SandboxStatusResponse{SandboxID: s.id, State: sandbox.NotReady, CreatedAt: timestamppb.New(s.created)}
	if s.pause == nil {
		return resp, nil
	}
	resp.Pid = uint32(s.pause.pid)
	select {
	case <-s.pause.done:
		resp.Pid = 0
		resp.ExitedAt = timestamppb.New(s.pause.exited)
	default:
		resp.State = sandbox.Ready
	}
	if r.GetVerbose() {
		info, err := json.Marshal(struct {
			PID  uint32       `json:"pid"`
			Spec sandbox.Spec `json:"sandbox"`
		}{resp.Pid, s.spec})
		if err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
		resp.Info = map[string]string{"info": string(info)}
	}
	return resp, nil
}

// Platform is the machine's.
func (s *service) Platform(context.Context, *api.PlatformRequest) (*api.PlatformResponse, error) {
	return &api.PlatformResponse{Platform: &types.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}, nil
}

// PingSandbox shows that the process answers.
func (s *service) PingSandbox(context.Context, *api.PingRequest) (*api.PingResponse, error) {
	return &api.PingResponse{}, nil
}

// answerTime is what the answer to ShutdownSandbox has to leave in. The server
// does not say when an answer was sent, and ending first would make the caller
// take success for a failure.
const answerTime = 20 * time.Millisecond

// ShutdownSandbox ends pause if it runs, and then this process.
func (s *service) ShutdownSandbox(ctx context.Context, r *api.ShutdownSandboxRequest) (*api.ShutdownSandboxResponse, error) {
	s.mu.Lock()
	p := s.pause
	err := s.check(r.GetSandboxID())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if p != nil {
		if err := p.kill(ctx); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
	}
	time.AfterFunc(answerTime, s.shutdown.Shutdown)
	return &api.ShutdownSandboxResponse{}, nil
}

// SandboxMetrics has none: the pod's cgroup is the one to measure.
func (s *service) SandboxMetrics(context.Context, *api.SandboxMetricsRequest) (*api.SandboxMetricsResponse, error) {
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "sandbox metrics")
}
