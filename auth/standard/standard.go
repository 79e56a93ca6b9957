// Package standard puts the mechanisms together as the product uses them.
//
//	who:  front proxy → client certificate → token of a service account, of a
//	      new node, of a configured issuer, or one that a webhook knows
//	      → nobody (health paths)
//	may:  system:masters → nodes, by what their pods need → RBAC
//	      (or what is configured in place of the last two)
//
// [New] makes everything over the watch cache, and [Auth.Run] feeds the
// indexes. Requests of others than system:masters should wait for
// [Auth.Ready]: before, the authorizers know nothing and refuse.
package standard

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"k8s.io/utils/clock"

	"proa/auth"
	"proa/auth/bootstraptoken"
	"proa/auth/configuration"
	"proa/auth/frontproxy"
	"proa/auth/node"
	"proa/auth/rbac"
	"proa/auth/rbac/bootstrap"
	"proa/auth/serviceaccount"
	"proa/auth/source"
	"proa/auth/token"
	"proa/auth/union"
	"proa/auth/x509"
	"proa/cache"
	"proa/pki"
	"proa/resource"
)

// DefaultIssuer is the issuer of service-account tokens unless configured.
const DefaultIssuer = "https://kubernetes.default.svc.cluster.local"

// Config says what to put together. PKI, Hub and View are required.
type Config struct {
	PKI  *pki.Authority
	Hub  *cache.Hub
	View *resource.View
	// Issuer of tokens; DefaultIssuer where empty. FormerIssuers are accepted
	// too.
	Issuer        string
	FormerIssuers []string
	// Audiences of the API server; the issuer where empty.
	Audiences []string
	// JWKSURI is where others find the keys of tokens, if not below the
	// issuer.
	JWKSURI string
	// Authentication and Authorization as an operator configures them. What they
	// need of the other fields is filled in.
	Authentication configuration.AuthenticationOptions
	Authorization  configuration.AuthorizationOptions
	Clock          clock.Clock
	Log            *slog.Logger
}

// Auth is the result. Its fields are not changed after New.
type Auth struct {
	Authenticator auth.Authenticator
	// Tokens checks bearer tokens by themselves, for token reviews.
	Tokens     auth.TokenAuthenticator
	Authorizer auth.Authorizer
	// Requests answers requests for service-account tokens.
	Requests *serviceaccount.Requests
	// Discovery serves the documents by which others verify tokens; nil where
	// the issuer is not an https URL.
	Discovery *serviceaccount.Discovery
	// Policy is that of the RBAC objects, and Rules lists what users may do by all
	// authorizers.
	Policy  *rbac.Index
	Rules   configuration.RBAC
	Graph   *node.Graph
	Objects *source.Objects

	config Config
	ready  chan struct{}
	close  func()
}

// New puts everything together. What it starts to follow the configuration ends
// with ctx, or with Run.
func New(ctx context.Context, c Config) (*Auth, error) {
	if c.Issuer == "" {
		c.Issuer = DefaultIssuer
	}
	if len(c.Audiences) == 0 {
		c.Audiences = []string{c.Issuer}
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Auth{Policy: rbac.New(), Graph: node.NewGraph(), Objects: source.New(c.Hub, c.View), config: c, ready: make(chan struct{})}
	keys, err := c.PKI.TokenKeys()
	if err != nil {
		return nil, err
	}
	issuer, err := serviceaccount.NewIssuer(c.Issuer, c.PKI.TokenKey())
	if err != nil {
		return nil, err
	}
	verifier, err := serviceaccount.NewVerifier(append([]string{c.Issuer}, c.FormerIssuers...), c.Audiences, keys, a.Objects, c.Clock)
	if err != nil {
		return nil, err
	}
	a.Requests = &serviceaccount.Requests{Issuer: issuer, Audiences: c.Audiences, Objects: a.Objects, Clock: c.Clock}
	if a.Discovery, err = serviceaccount.NewDiscovery(c.Issuer, c.JWKSURI, keys); err != nil {
		c.Log.Warn("others cannot verify service-account tokens", "err", err)
		a.Discovery = nil
	}
	c.Authentication.Audiences, c.Authentication.DisallowedIssuers = c.Audiences, append([]string{c.Issuer}, c.FormerIssuers...)
	c.Authentication.Clock, c.Authentication.Log = c.Clock, c.Log
	known, err := configuration.OpenAuthentication(ctx, c.Authentication)
	if err != nil {
		return nil, err
	}
	c.Authorization.RBAC, c.Authorization.Log = a.Policy, c.Log
	c.Authorization.Node = node.New(a.Graph, bootstrap.NodeRules(), a.Objects.PodsOnNode)
	allowed, err := configuration.OpenAuthorization(ctx, c.Authorization)
	if err != nil {
		known.Close()
		return nil, err
	}
	a.close = func() { known.Close(); allowed.Close() }
	a.Tokens = token.Union{verifier, bootstraptoken.New(a.Objects, c.Clock), known}
	a.Authenticator = union.OrElse{
		First: union.Authenticators{frontproxy.New(c.PKI.FrontProxyRoots, []string{pki.FrontProxyClient().CommonName}, c.Clock), x509.New(c.PKI.Roots, c.Clock), token.Bearer{Tokens: a.Tokens}},
		Then:  known.Anonymous(),
	}
	a.Authorizer, a.Rules = allowed, allowed
	return a, nil
}

// Ready is closed when the indexes hold what was stored when Run began.
func (a *Auth) Ready() <-chan struct{} { return a.ready }

// Run feeds the indexes until ctx ends, and returns once nothing of it runs
// any more. The hub must run too.
func (a *Auth) Run(ctx context.Context) error {
	defer a.close()
	type feed struct {
		def   *resource.Definition
		index source.Index
	}
	var feeds []feed
	for _, d := range source.Policy(a.config.View) {
		feeds = append(feeds, feed{d, a.Policy})
	}
	for _, d := range source.Nodes(a.config.View) {
		feeds = append(feeds, feed{d, a.Graph})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var left atomic.Int32
	left.Store(int32(len(feeds)))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, f := range feeds {
		wg.Go(func() {
			err := source.Follow(ctx, a.config.Hub, f.def, f.index, func() {
				if left.Add(-1) == 0 {
					close(a.ready)
				}
			})
			if ctx.Err() != nil {
				return
			}
			// Without its events an index goes stale, and would allow what was
			// forbidden since.
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
			cancel()
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return ctx.Err()
}
