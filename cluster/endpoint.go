package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/cert"

	"proa/apiserver/health"
	"proa/node/guard"
)

// endpoint is where a part that runs alone tells of itself: its health to
// everybody, everything else to those whom the API server knows and allows.
type endpoint struct {
	listener net.Listener
	server   *http.Server
	clients  *clientAuthorities
	log      *slog.Logger
}

// endpointConfig is what an endpoint is made of.
type endpointConfig struct {
	address string
	port    int
	checks  []health.Check
	metrics http.Handler
	client  kubernetes.Interface
	log     *slog.Logger
}

// Limits of a connection to an endpoint, whose requests have no bodies.
const (
	endpointHeaderTimeout = 10 * time.Second
	endpointHeaderBytes   = 16 << 10
)

// openEndpoint opens the port. Its certificate is made for this run: health
// checks do not verify it.
func openEndpoint(c endpointConfig) (*endpoint, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the host name: %w", err)
	}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(host, []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"})
	if err != nil {
		return nil, fmt.Errorf("make a serving certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(c.address, strconv.Itoa(c.port)))
	if err != nil {
		return nil, fmt.Errorf("port %d for health and metrics cannot be opened: stop what uses it, or choose another with --secure-port: %w", c.port, err)
	}
	e := &endpoint{listener: l, clients: newClientAuthorities(c.client), log: c.log}
	e.server = &http.Server{
		Handler:           e.handler(c),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert},
		ReadHeaderTimeout: endpointHeaderTimeout, MaxHeaderBytes: endpointHeaderBytes,
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	return e, nil
}

func (e *endpoint) handler(c endpointConfig) http.Handler {
	mux := http.NewServeMux()
	for _, name := range []string{"healthz", "livez", "readyz"} {
		h := &health.Handler{Name: name, Checks: c.checks, Log: c.log}
		mux.Handle("GET /"+name, h)
		mux.Handle("GET /"+name+"/", h)
	}
	guarded := http.NewServeMux()
	guarded.Handle("GET /metrics", c.metrics)
	g := guard.New(guard.Config{Client: c.client, Tokens: true, Roots: e.clients.pool})
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if may(w, r, g) {
			guarded.ServeHTTP(w, r)
		}
	}))
	return mux
}

// may asks who sent a request and whether they may, and answers it if not.
func may(w http.ResponseWriter, r *http.Request, g *guard.Guard) bool {
	who, ok, err := g.AuthenticateRequest(r)
	if err != nil || !ok {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return false
	}
	verb := map[string]string{http.MethodGet: "get", http.MethodHead: "head"}[r.Method]
	d, reason, err := g.Authorize(r.Context(), authorizer.AttributesRecord{User: who.User, Verb: verb, Path: r.URL.Path})
	if err != nil {
		http.Error(w, "Internal Server Error: the API server cannot be asked for permission", http.StatusInternalServerError)
		return false
	}
	if d != authorizer.DecisionAllow {
		http.Error(w, fmt.Sprintf("Forbidden: user %q cannot %s path %q: %s", who.User.GetName(), verb, r.URL.Path, reason), http.StatusForbidden)
		return false
	}
	return true
}

// run serves until ctx ends.
func (e *endpoint) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	e.clients.factory.StartWithContext(ctx)
	defer e.clients.factory.Shutdown()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { e.server.Close() })
	defer stop()
	if err := e.server.ServeTLS(e.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// clientAuthorities are those that the API server accepts client certificates
// of, as it publishes them.
type clientAuthorities struct {
	factory informers.SharedInformerFactory
	present atomic.Pointer[x509.CertPool]
}

func newClientAuthorities(client kubernetes.Interface) *clientAuthorities {
	c := &clientAuthorities{factory: informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithNamespace(metav1.NamespaceSystem),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", authenticationName).String()
		}))}
	c.present.Store(x509.NewCertPool())
	take := func(obj any) {
		pool := x509.NewCertPool()
		if m, ok := obj.(*v1.ConfigMap); ok && m.Name == authenticationName && pool.AppendCertsFromPEM([]byte(m.Data[clientCAKey])) {
			c.present.Store(pool)
		}
	}
	// Registering fails only once the informer has stopped.
	_, _ = c.factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: take, UpdateFunc: func(_, obj any) { take(obj) },
	})
	return c
}

func (c *clientAuthorities) pool() *x509.CertPool { return c.present.Load() }
