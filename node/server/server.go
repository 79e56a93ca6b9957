package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	cri "k8s.io/cri-api/pkg/apis"
	"k8s.io/utils/clock"
)

// Agent is what the server asks of the node agent. Safe for concurrent use;
// what it returns is shared and not changed.
type Agent interface {
	// Pods are all pods of the node with their newest status.
	Pods() []*corev1.Pod
	// Pod finds one of them. uid may be empty, or that of the mirror of a
	// static pod. The pod's own UID is the one that the runtime knows.
	Pod(namespace, name string, uid types.UID) (*corev1.Pod, bool)
	// Configz is the effective KubeletConfiguration.
	Configz() any
	// Healthy is nil while the agent's loop turns.
	Healthy() error
}

// Config configures a Server.
type Config struct {
	NodeName string
	// Root is the agent's directory and PodLogs that of the pods' logs, for
	// what pods take of the disk.
	Root, PodLogs string
	// SystemLogs is the directory that /logs/ serves; empty serves none.
	SystemLogs string

	Agent   Agent
	Runtime cri.RuntimeService
	Images  cri.ImageManagerService
	// TLS holds the serving certificate. Client certificates are asked for,
	// and left to Authenticate to judge.
	TLS *tls.Config
	// Authenticate and Authorize guard every path. Needed.
	Authenticate authenticator.Request
	Authorize    authorizer.Authorizer
	// Metrics serves /metrics; nil serves the process's and a few of the
	// agent's. Probes serves /metrics/probes; nil serves none.
	Metrics, Probes http.Handler
	// StreamIdle ends streams on which nothing moves; 4h if zero.
	StreamIdle time.Duration
	Clock      clock.PassiveClock
	Log        *slog.Logger
}

// Server serves the agent's API.
type Server struct {
	cfg     Config
	handler http.Handler
	cpu     cpuRates
	// streams ends hijacked connections, which http.Server does not know.
	streams context.Context
	stop    context.CancelFunc
}

// Limits of connections. Bodies are streams and are not timed.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 90 * time.Second
	drainTimeout  = 2 * time.Second
	maxHeader     = 64 << 10
)

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Agent == nil || cfg.Runtime == nil:
		return nil, errors.New("node server: agent and runtime are needed")
	case cfg.Authenticate == nil || cfg.Authorize == nil:
		return nil, errors.New("node server: authentication and authorization are needed; nothing is served without")
	}
	if cfg.StreamIdle == 0 {
		cfg.StreamIdle = 4 * time.Hour
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = ownMetrics(cfg)
	}
	s := &Server{cfg: cfg}
	s.streams, s.stop = context.WithCancel(context.Background())
	s.handler = s.guard(s.routes())
	return s, nil
}

// Handler is the guarded API without the listener.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers on a TCP listener with TLS until ctx ends; open streams end
// with it. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.stop()
	if s.cfg.TLS == nil {
		l.Close()
		return errors.New("node server: no serving certificate")
	}
	t := s.cfg.TLS.Clone()
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	if t.ClientAuth == tls.NoClientCert {
		t.ClientAuth = tls.RequestClientCert
	}
	t.NextProtos = []string{"h2", "http/1.1"}
	return serve(ctx, tls.NewListener(l, t), s.handler, s.stop, s.cfg.Log)
}

// ServeHealth answers /healthz without authentication until ctx ends. It
// refuses a listener that others than this machine reach.
func (s *Server) ServeHealth(ctx context.Context, l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		s.cfg.Log.Warn("health is served without authentication beyond loopback", "address", a.String())
	}
	mux := http.NewServeMux()
	s.routeHealth(mux)
	return serve(ctx, l, mux, func() {}, s.cfg.Log)
}

func serve(ctx context.Context, l net.Listener, h http.Handler, stop func(), log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		stop()
		drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer done()
		if srv.Shutdown(drain) != nil {
			srv.Close()
		}
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// routes is the whole API.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	s.routeHealth(mux)
	mux.HandleFunc("GET /configz", s.configz)
	mux.HandleFunc("GET /pods", s.pods)
	mux.HandleFunc("GET /pods/{$}", s.pods)
	mux.HandleFunc("GET /runningpods/{$}", s.runningPods)
	mux.HandleFunc("GET /runningpods", s.runningPods)
	mux.HandleFunc("GET /stats/summary", s.summary)
	mux.HandleFunc("POST /stats/summary", s.summary)
	mux.HandleFunc("GET /metrics/resource", s.resourceMetrics)
	mux.HandleFunc("GET /metrics/cadvisor", s.containerMetrics)
	mux.Handle("GET /metrics", s.cfg.Metrics)
	if s.cfg.Probes != nil {
		mux.Handle("GET /metrics/probes", s.cfg.Probes)
	}
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", s.containerLogs)
	for _, method := range []string{"GET ", "POST "} {
		for _, pod := range []string{"{ns}/{pod}", "{ns}/{pod}/{uid}"} {
			mux.HandleFunc(method+"/exec/"+pod+"/{container}", s.exec)
			mux.HandleFunc(method+"/attach/"+pod+"/{container}", s.attach)
			mux.HandleFunc(method+"/portForward/"+pod, s.portForward)
		}
	}
	if s.cfg.SystemLogs != "" {
		mux.HandleFunc("GET /logs/", s.systemLogs)
	}
	mux.HandleFunc("POST /run/{ns}/{pod}/{container}", s.run)
	mux.HandleFunc("POST /run/{ns}/{pod}/{uid}/{container}", s.run)
	return mux
}

// findPod finds the pod that a path names, or answers.
func (s *Server) findPod(w http.ResponseWriter, r *http.Request) (*corev1.Pod, bool) {
	ns, name := r.PathValue("ns"), r.PathValue("pod")
	pod, ok := s.cfg.Agent.Pod(ns, name, types.UID(r.PathValue("uid")))
	if !ok {
		http.Error(w, fmt.Sprintf("pod %q does not exist", name), http.StatusNotFound)
	}
	return pod, ok
}
