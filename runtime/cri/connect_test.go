package cri

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/run/x.sock":          "unix:///run/x.sock",
		"unix:///run/x.sock":   "unix:///run/x.sock",
		"":                     "",
		"x.sock":               "",
		"unix://x.sock":        "",
		"tcp://127.0.0.1:1234": "",
	} {
		got, err := normalize(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// runtimeServer answers the two calls that connecting takes.
type runtimeServer struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer
}

func (runtimeServer) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: "test", RuntimeVersion: "1", RuntimeApiVersion: "v1"}, nil
}

func (runtimeServer) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	return &runtimeapi.ImageFsInfoResponse{}, nil
}

func serve(t *testing.T, path string, register func(*grpc.Server)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	register(s)
	go s.Serve(l) //nolint:errcheck // ends with Stop
	t.Cleanup(s.Stop)
}

// A runtime may start after the node agent.
func TestConnectWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	type result struct {
		conn *Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		c, err := Connect(t.Context(), Config{Endpoint: path, Logger: slog.New(slog.DiscardHandler)})
		done <- result{c, err}
	}()
	serve(t, path, func(s *grpc.Server) {
		runtimeapi.RegisterRuntimeServiceServer(s, runtimeServer{})
		runtimeapi.RegisterImageServiceServer(s, runtimeServer{})
	})
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if err := r.conn.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deaf, other := filepath.Join(dir, "none"), filepath.Join(dir, "s")
	serve(t, other, func(*grpc.Server) {})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name     string
		ctx      context.Context
		endpoint string
		want     string
	}{
		{"nobody there", ended, deaf, "does not answer"},
		{"something else there", t.Context(), other, "does not speak CRI v1"},
		{"no endpoint", t.Context(), "", "no container runtime endpoint"},
	} {
		_, err := Connect(tt.ctx, Config{Endpoint: tt.endpoint, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
