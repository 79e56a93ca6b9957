package apitest

import (
	"context"
	cryptox509 "crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"proa/admission"
	"proa/apiserver"
	"proa/apiserver/connect"
	"proa/apiserver/crds"
	"proa/apiserver/local"
	"proa/apiserver/managed"
	"proa/apiserver/subresource"
	"proa/auth"
	"proa/auth/anonymous"
	"proa/auth/union"
	"proa/auth/x509"
	"proa/cache"
	"proa/cache/codec"
	"proa/network/ipalloc"
	"proa/resource"
	"proa/resource/builtin"
	"proa/resource/custom"
	"proa/store"
	"proa/store/memory"
)

// Env is a running API server.
type Env struct {
	Server  *apiserver.Server
	Handler http.Handler
	Table   *resource.Table
	Hub     *cache.Hub
	Store   store.Store
	// Admin is a client that may do everything.
	Admin kubernetes.Interface

	t testing.TB

	certs *certificates
	mu    sync.Mutex
	url   string
}

// Option changes how the server is made.
type Option func(*settings)

type settings struct {
	config     apiserver.Config
	store      store.Store
	namespaces []string
	hub        cache.Options
	admission  func(*cache.Hub, *resource.Table) admission.Chain
	caller     custom.Caller
}

// WithConfig lets f change the configuration of the server before it is made.
func WithConfig(f func(c *apiserver.Config)) Option { return func(s *settings) { f(&s.config) } }

// WithTable serves other resources than the builtin ones.
func WithTable(t *resource.Table) Option { return func(s *settings) { s.config.Table = t } }

// WithStore keeps objects in st, which the test closes.
func WithStore(st store.Store) Option { return func(s *settings) { s.store = st } }

// WithAdmission makes the admission chain over the cache of the server.
func WithAdmission(chain func(*cache.Hub, *resource.Table) admission.Chain) Option {
	return func(s *settings) { s.admission = chain }
}

// WithHub sets the options of the cache.
func WithHub(o cache.Options) Option { return func(s *settings) { s.hub = o } }

// WithCaller calls the webhooks of conversions.
func WithCaller(c custom.Caller) Option { return func(s *settings) { s.caller = c } }

// WithNamespaces makes these namespaces beside "default".
func WithNamespaces(names ...string) Option {
	return func(s *settings) { s.namespaces = append(s.namespaces, names...) }
}

// WithNoNamespaces leaves even "default" out.
func WithNoNamespaces() Option { return func(s *settings) { s.namespaces = nil } }

// AdminUser may do everything.
var AdminUser = &auth.User{Name: "admin", Groups: []string{auth.GroupMasters, auth.GroupAuthenticated}}

// tracker is shared by the servers of a test process: parsing its schema takes
// longer than starting a server. It is immutable to those who use it.
var tracker = sync.OnceValue(func() *managed.Tracker {
	return managed.New(managed.StandardTypes)
})

// Start runs an API server until the test ends.
func Start(t testing.TB, options ...Option) *Env {
	t.Helper()
	s := settings{namespaces: []string{"default"}}
	s.config.DrainTimeout = time.Second
	for _, o := range options {
		o(&s)
	}
	if s.config.Table == nil {
		s.config.Table = builtin.Table()
	}
	if s.config.Managed == nil {
		s.config.Managed = tracker()
	}
	if s.store == nil {
		m := memory.New(memory.Options{})
		t.Cleanup(func() { m.Close() })
		s.store = m
	}
	if s.config.Log == nil {
		s.config.Log = slog.New(slog.DiscardHandler)
	}
	if s.hub.Guard == 0 {
		s.hub.Guard = 4096
	}
	hub := cache.NewHub(s.store, codec.Storage{}, s.hub)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := hub.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cache: %v", err)
		}
	})
	t.Cleanup(func() {
		if bad := hub.Mutated(); len(bad) > 0 {
			t.Errorf("objects of the cache were changed in place: %v", bad)
		}
		cancel()
		running.Wait()
	})
	s.config.Hub = hub
	if s.admission != nil {
		s.config.Admission = s.admission(hub, s.config.Table)
	}
	if s.config.Allocators == nil {
		// A table without services needs none.
		s.config.Allocators, _, _ = ipalloc.For(s.config.Table, hub, ipalloc.Config{Addresses: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}})
	}
	certs, err := newCertificates()
	if err != nil {
		t.Fatal(err)
	}
	if s.config.TLS, err = certs.server(); err != nil {
		t.Fatal(err)
	}
	if s.config.Authenticator == nil {
		known := x509.New(func() *cryptox509.CertPool { return certs.pool }, clock.RealClock{})
		s.config.Authenticator = union.OrElse{First: union.Authenticators{known}, Then: anonymous.Authenticator{}}
	}
	if s.config.Connects == nil {
		s.config.Connects = connect.Registry{}
	}
	for k, h := range subresource.Reviews(nil, s.config.Authorizer, nil) {
		if _, ok := s.config.Connects[k]; !ok {
			s.config.Connects[k] = h
		}
	}
	definitions := crds.New(crds.Config{Table: s.config.Table, Hub: hub, Managed: s.config.Managed, Caller: s.caller, Log: s.config.Log})
	if definitions != nil {
		s.config.Sync = definitions.Sync
		running.Go(func() { _ = definitions.Run(ctx) })
	}
	server, err := apiserver.New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Drain)
	if definitions != nil {
		loops := crds.Controllers{Table: s.config.Table, Hub: hub, Handler: server.Handler(), User: AdminUser, Clock: clock.RealClock{}, Log: s.config.Log}
		running.Go(func() { _ = loops.Run(ctx) })
	}
	e := &Env{Server: server, Handler: server.Handler(), Table: s.config.Table, Hub: hub, Store: s.store, certs: certs, t: t}
	e.Admin = e.Clients(AdminUser)
	if m, ok := e.Table.View().Resource(corev1.SchemeGroupVersion.WithResource("namespaces")); ok && !m.Virtual {
		for _, ns := range s.namespaces {
			_, err := e.Admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		}
	}
	return e
}

// Clients is a clientset that speaks for user, in process.
func (e *Env) Clients(user *auth.User) kubernetes.Interface {
	e.t.Helper()
	c, err := kubernetes.NewForConfig(e.Loopback(user))
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// Loopback is a client configuration that speaks for user, in process.
func (e *Env) Loopback(user *auth.User) *restclient.Config {
	return local.Config(e.Handler, user, "apitest")
}

// URL of the server on the loopback interface, which it listens on from the
// first call on.
func (e *Env) URL() string {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.url != "" {
		return e.url
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Server.Serve(ctx, l); err != nil {
			e.t.Errorf("serve: %v", err)
		}
	})
	e.t.Cleanup(func() { cancel(); running.Wait() })
	e.url = "https://" + l.Addr().String()
	return e.url
}

// Config is a client configuration over TLS, with a certificate of user, or
// anonymous where user is nil. Unless the test brings an Authenticator of its
// own, the server believes it.
func (e *Env) Config(user *auth.User) *restclient.Config {
	e.t.Helper()
	c, err := e.certs.client(e.URL(), user)
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// Remote is a clientset over TLS.
func (e *Env) Remote(user *auth.User) kubernetes.Interface {
	e.t.Helper()
	c, err := kubernetes.NewForConfig(e.Config(user))
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}
