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
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"proa/runtime/sandbox"
)

// service is the sandbox API of the pods that this process holds.
type service struct {
	mu   sync.Mutex
	pods map[string]*pod
}

// pod is the sandbox of one.
type pod struct {
	id   string
	spec sandbox.Spec

	mu      sync.Mutex
	pause   *pauseProcess // nil until started
	created time.Time
}

func newService() *service { return &service{pods: map[string]*pod{}} }

var _ api.TTRPCSandboxService = (*service)(nil)

// RegisterTTRPC puts the API on the shim's socket.
func (s *service) RegisterTTRPC(srv *ttrpc.Server) error {
	api.RegisterTTRPCSandboxService(srv, s)
	return nil
}

// CreateSandbox takes the specification.
func (s *service) CreateSandbox(_ context.Context, r *api.CreateSandboxRequest) (*api.CreateSandboxResponse, error) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pods[r.GetSandboxID()] != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "sandbox %s", r.GetSandboxID())
	}
	s.pods[r.GetSandboxID()] = &pod{id: r.GetSandboxID(), spec: spec}
	return &api.CreateSandboxResponse{}, nil
}

// StartSandbox makes the namespaces and starts pause in them.
func (s *service) StartSandbox(_ context.Context, r *api.StartSandboxRequest) (*api.StartSandboxResponse, error) {
	p, err := s.get(r.GetSandboxID())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "sandbox %s was started", p.id)
	}
	pause, err := startPause(p.spec)
	if err != nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("sandbox %s: %w", p.id, err))
	}
	p.pause, p.created = pause, time.Now()
	return &api.StartSandboxResponse{Pid: uint32(pause.pid), CreatedAt: timestamppb.New(p.created)}, nil
}

func (s *service) get(id string) (*pod, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[id]; p != nil {
		return p, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s", id)
}

// started returns the pause process of a started sandbox.
func (s *service) started(id string) (*pauseProcess, error) {
	p, err := s.get(id)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause == nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s was not started", id)
	}
	return p.pause, nil
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
	p, err := s.get(r.GetSandboxID())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &api.SandboxStatusResponse{SandboxID: p.id, State: sandbox.NotReady, CreatedAt: timestamppb.New(p.created)}
	if p.pause == nil {
		return resp, nil
	}
	resp.Pid = uint32(p.pause.pid)
	select {
	case <-p.pause.done:
		resp.Pid = 0
		resp.ExitedAt = timestamppb.New(p.pause.exited)
	default:
		resp.State = sandbox.Ready
	}
	if r.GetVerbose() {
		info, err := json.Marshal(struct {
			PID  uint32       `json:"pid"`
			Spec sandbox.Spec `json:"sandbox"`
		}{resp.Pid, p.spec})
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

// ShutdownSandbox ends pause if it runs, and forgets the sandbox.
func (s *service) ShutdownSandbox(ctx context.Context, r *api.ShutdownSandboxRequest) (*api.ShutdownSandboxResponse, error) {
	p, err := s.get(r.GetSandboxID())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause != nil {
		if err := p.pause.kill(ctx); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
	}
	s.mu.Lock()
	delete(s.pods, p.id)
	s.mu.Unlock()
	return &api.ShutdownSandboxResponse{}, nil
}

// SandboxMetrics has none: the pod's cgroup is the one to measure.
func (s *service) SandboxMetrics(context.Context, *api.SandboxMetricsRequest) (*api.SandboxMetricsResponse, error) {
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "sandbox metrics")
}
