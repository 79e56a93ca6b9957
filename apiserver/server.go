package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/apiserver/aggregator"
	"proa/apiserver/audit"
	"proa/apiserver/connect"
	"proa/apiserver/discovery"
	"proa/apiserver/fairness"
	"proa/apiserver/health"
	"proa/apiserver/managed"
	"proa/apiserver/metrics"
	"proa/apiserver/request"
	"proa/apiserver/rest"
	"proa/apiserver/subresource"
	"proa/auth"
	"proa/cache"
	"proa/resource"
)

// Config of a server. Table and Hub are required; it is not changed after New.
type Config struct {
	// Table of what is served, and Hub through which it is read and written.
	Table *resource.Table
	Hub   *cache.Hub
	// Authenticator of requests from the wire. Nil: everybody is anonymous.
	Authenticator auth.Authenticator
	// Authorizer of all requests. Nil: everything is allowed, for tests.
	Authorizer auth.Authorizer
	Admission  admission.Chain
	// Allocators give objects what they need from elsewhere: services their
	// cluster IPs and node ports.
	Allocators map[schema.GroupResource]resource.Allocator
	// Connects answers subresources and virtual resources by functions. The
	// server completes it by what it answers itself. Handlers that need the
	// server's API may be added after New, but before the first request.
	Connects connect.Registry
	// TLS for Serve. Client certificates are asked for, and checked by the
	// Authenticator.
	TLS *tls.Config
	// Mounts are handlers of other paths (OpenAPI), by prefix.
	Mounts []Mount
	// Audit logs requests; nil where nothing is logged.
	Audit *audit.Logger
	// Profiling serves /debug/pprof.
	Profiling bool
	// Checks of health: Livez are also part of Readyz, and both of healthz.
	Livez, Readyz []health.Check
	// Metrics are registered here and served at /metrics; a registry of its
	// own unless set.
	Metrics *prometheus.Registry
	// Managed tracks metadata.managedFields; one over client-go's schema
	// unless set.
	Managed *managed.Tracker
	Log     *slog.Logger
	// Now is the clock of requests.
	Now func() time.Time
	// Fairness shares out the server among requests from the wire. Nil: they are
	// bounded by MaxReads and MaxWrites.
	Fairness *fairness.Fairness
	// Aggregator makes other servers part of this one; may be nil.
	Aggregator *aggregator.Aggregator
	// MaxReads and MaxWrites are how many requests may be in flight (400 and
	// 200); requests of system:masters and from this process do not count.
	MaxReads, MaxWrites int
	// Timeout of requests that are not long-running (60 seconds).
	Timeout time.Duration
	// WatchTimeout is the shortest time after which a watch that did not ask
	// for one ends (30 minutes).
	WatchTimeout time.Duration
	// DrainTimeout bounds the wait for requests when Serve ends (10 seconds).
	DrainTimeout time.Duration
	// Sync brings the table up to what the cache has seen. It is called before the
	// server says that there is no such resource, or which there are; may be nil.
	Sync func(ctx context.Context)
	// Address tells clients in /api where the server is; may be nil.
	Address func(r *http.Request) string
}

// Mount is a handler of all paths with a prefix. It runs behind the whole
// chain, authorization of the path included.
type Mount struct {
	Prefix  string
	Handler http.Handler
	// Paths are what "/" lists for it.
	Paths []string
}

// Server answers requests. Make it with New.
type Server struct {
	config    Config
	api       *rest.API
	log       *slog.Logger
	metrics   *metrics.Metrics
	discovery *discovery.Handler
	health    []*health.Handler
	promhttp  http.Handler
	limits    limits
	serve     handler

	draining atomic.Bool
	drain    context.Context
	endWatch context.CancelFunc
}

// New makes a server.
func New(c Config) (*Server, error) {
	if c.Table == nil || c.Hub == nil {
		return nil, errors.New("apiserver: Config needs a Table and a Hub")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Managed == nil {
		c.Managed = managed.New(managed.StandardTypes)
	}
	set(&c.MaxReads, 400)
	set(&c.MaxWrites, 200)
	set(&c.Timeout, 60*time.Second)
	set(&c.DrainTimeout, 10*time.Second)
	s := &Server{config: c, log: c.Log, metrics: metrics.New(c.Metrics)}
	if err := c.Metrics.Register(metrics.Objects{Each: s.objects}); err != nil {
		return nil, fmt.Errorf("apiserver: metrics: %w", err)
	}
	if c.Fairness != nil {
		if err := c.Metrics.Register(c.Fairness); err != nil {
			return nil, fmt.Errorf("apiserver: metrics: %w", err)
		}
	}
	s.drain, s.endWatch = context.WithCancel(context.Background())
	s.limits = newLimits(c.MaxReads, c.MaxWrites, s.metrics)
	s.promhttp = promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{})
	s.discovery = &discovery.Handler{Table: c.Table, Address: c.Address}
	if c.Aggregator != nil {
		s.discovery.Remotes = c.Aggregator.Remotes
	}
	s.health = s.checks()
	s.api = (&rest.API{
		Table: c.Table, Hub: c.Hub, Admission: c.Admission, Authorizer: c.Authorizer, Allocators: c.Allocators,
		Managed: c.Managed, Log: c.Log, WatchTimeout: c.WatchTimeout, Draining: s.drain, Observe: s.metrics,
	}).Complete()
	s.api.Connects = c.Connects
	if s.api.Connects == nil {
		s.api.Connects = connect.Registry{}
	}
	for k, h := range subresource.Pods(s.api) {
		if _, ok := s.api.Connects[k]; !ok {
			s.api.Connects[k] = h
		}
	}
	// The order of the chain, from the outside in.
	s.serve = s.authenticate(s.audit(s.impersonate(s.limit(s.authorize(s.deadline(s.dispatch))))))
	return s, nil
}

func set[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// objects counts what the loaded caches hold.
func (s *Server) objects(visit func(group, resource string, n int)) {
	for _, d := range s.config.Table.View().Definitions {
		if d.Virtual {
			continue
		}
		if c := s.config.Hub.Cache(d); c.Ready() {
			visit(d.Storage.Group, d.Plural, c.Len())
		}
	}
}

// API gives the verbs as methods, to what is built upon them.
func (s *Server) API() *rest.API { return s.api }

func (s *Server) checks() []*health.Handler {
	shutdown := health.Check{Name: "shutdown", Check: func(*http.Request) error {
		if s.draining.Load() {
			return errors.New("process is shutting down")
		}
		return nil
	}}
	live := slices.Concat([]health.Check{health.Ping}, s.config.Livez)
	ready := slices.Concat(live, s.config.Readyz, []health.Check{shutdown})
	all := slices.Concat(live, s.config.Readyz)
	return []*health.Handler{
		{Name: "healthz", Checks: all, Log: s.log},
		{Name: "livez", Checks: live, Log: s.log},
		{Name: "readyz", Checks: ready, Log: s.log},
	}
}

// paths are what "/" lists.
func (s *Server) paths() metav1.RootPaths {
	out := s.discovery.Paths()
	for _, h := range s.health {
		out = append(out, h.Paths()...)
	}
	for _, m := range s.config.Mounts {
		out = append(out, m.Paths...)
	}
	out = append(out, "/metrics", "/version")
	if s.config.Profiling {
		out = append(out, request.ProfilePath, request.ProfilePath+"/profile")
	}
	slices.Sort(out)
	return metav1.RootPaths{Paths: slices.Compact(out)}
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}
