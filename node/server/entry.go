// Package server is the agent's HTTPS API, the one that the API server, kubectl
// (through it) and metrics collectors speak to.
package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	cri "k8s.io/cri-api/pkg/apis"
)

// Agent is what the server asks of the node agent.
type Agent interface {
	// Pods are all pods of the node with their newest status, mirror pods
	// included in place of the static pods they show.
	Pods() []*corev1.Pod
	// Pod finds one of them; uid may be empty.
	Pod(namespace, name string, uid types.UID) (*corev1.Pod, bool)
	// Container gives the CRI id of a container that runs, or ran last; with
	// previous the one before it. ok is false if there is none.
	Container(pod *corev1.Pod, container string, previous bool) (id string, ok bool)
	// Sandbox gives the CRI id of the pod's ready sandbox.
	Sandbox(pod *corev1.Pod) (id string, ok bool)
	// Configz is the effective KubeletConfiguration.
	Configz() any
	// Healthy is nil while the agent's loop turns; it is the "syncloop" check.
	Healthy() error
}

// Config configures a Server.
type Config struct {
	NodeName string
	Agent    Agent
	Runtime  cri.RuntimeService
	Images   cri.ImageManagerService
	// TLS holds the serving certificate and, for client certificates, the CA.
	TLS *tls.Config
	// Authenticate and Authorize guard every path. Nil refuses everybody.
	Authenticate authenticator.Request
	Authorize    authorizer.Authorizer
	// Metrics serves /metrics (and is also the source of /metrics/probes).
	Metrics, ProbeMetrics http.Handler
	// PodLogs is the directory of the pods' logs.
	PodLogs string
	Log     *slog.Logger
}

// Server serves the agent's API.
type Server struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Server, error) { return &Server{cfg: cfg}, nil }

// Serve answers on a TCP listener with TLS until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { <-ctx.Done(); return nil }

// ServeHealth answers /healthz without authentication; give it a loopback
// listener.
func (s *Server) ServeHealth(ctx context.Context, l net.Listener) error { <-ctx.Done(); return nil }

// Handler is the guarded API without the listener, for tests and in-process
// callers.
func (s *Server) Handler() http.Handler { return nil }
