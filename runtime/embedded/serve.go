package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc"
)

// streamWorkers are as many as calls that a busy node makes at once; more calls get
// goroutines of their own.
const streamWorkers = 8

// newServers registers every loaded service on a gRPC server, for clients, and
// on a ttrpc server, for the shims.
func newServers(set *plugin.Set) (*grpc.Server, *ttrpc.Server, error) {
	gs := grpc.NewServer(
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.UnaryInterceptor(unaryNamespace),
		grpc.StreamInterceptor(streamNamespace),
		// A node has a handful of clients with small messages.
		grpc.ReadBufferSize(8<<10),
		grpc.WriteBufferSize(8<<10),
		grpc.SharedWriteBuffer(true),
		// A call goes through deep stacks. Goroutines that stay have grown theirs.
		grpc.NumStreamWorkers(streamWorkers),
	)
	ts, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		return nil, nil, fmt.Errorf("shim event server: %w", err)
	}
	for _, p := range set.GetAll() {
		if p.Registration.Type != plugins.GRPCPlugin {
			continue
		}
		instance, err := p.Instance()
		if err != nil {
			continue // checkRequired has judged it
		}
		if s, ok := instance.(interface{ Register(*grpc.Server) error }); ok {
			if err := s.Register(gs); err != nil {
				return nil, nil, fmt.Errorf("serve %s: %w", p.Registration.URI(), err)
			}
		}
		if s, ok := instance.(interface{ RegisterTTRPC(*ttrpc.Server) error }); ok {
			if err := s.RegisterTTRPC(ts); err != nil {
				return nil, nil, fmt.Errorf("serve %s to shims: %w", p.Registration.URI(), err)
			}
		}
	}
	return gs, ts, nil
}

// listen binds a unix socket that only root can use. A socket left by a killed
// process is replaced; the caller holds the lock on Root, so it is not alive.
func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace container runtime socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("container runtime socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("container runtime socket: %w", err)
	}
	return l, nil
}

// The namespace arrives as an incoming header; services look for it among the
// outgoing ones too, when they call each other in process.
func unaryNamespace(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	return next(carryNamespace(ctx), req)
}

func streamNamespace(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, namespacedStream{ServerStream: ss, ctx: carryNamespace(ss.Context())})
}

func carryNamespace(ctx context.Context) context.Context {
	if ns, ok := namespaces.Namespace(ctx); ok {
		return namespaces.WithNamespace(ctx, ns)
	}
	return ctx
}

type namespacedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s namespacedStream) Context() context.Context { return s.ctx }
