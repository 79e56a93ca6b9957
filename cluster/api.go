package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"k8s.io/utils/clock"

	admissionbuiltin "proa/admission/builtin"
	"proa/apiserver"
	"proa/apiserver/connect"
	"proa/apiserver/subresource"
	"proa/auth"
	"proa/auth/anonymous"
	"proa/auth/masters"
	authnode "proa/auth/node"
	"proa/auth/rbac"
	"proa/auth/rbac/bootstrap"
	"proa/auth/serviceaccount"
	"proa/auth/source"
	"proa/auth/token"
	"proa/auth/union"
	"proa/auth/x509"
	"proa/cache"
	"proa/cache/codec"
	"proa/pki"
	"proa/resource"
	"proa/resource/builtin"
	"proa/store"
)

// issuer of service-account tokens, and their audience: upstream's default for
// a cluster whose name is cluster.local.
const issuer = "https://kubernetes.default.svc.cluster.local"

// api is a running API server with what it stands on.
type api struct {
	server  *apiserver.Server
	hub     *cache.Hub
	table   *resource.Table
	address netip.AddrPort
	log     *slog.Logger
}

// apiConfig is what an API server is made of.
type apiConfig struct {
	store     store.Store
	authority *pki.Authority
	listener  net.Listener
	names     []string // of the serving certificate
	serviceIP string
	log       *slog.Logger
}

// startAPI composes an API server and starts it among parts. It answers when
// this returns.
func startAPI(ctx context.Context, p *parts, c apiConfig) (*api, error) {
	table := builtin.Table()
	view := table.View()
	hub := cache.NewHub(c.store, codec.Storage{}, cache.Options{Log: c.log})
	p.run("cache", hub.Run)

	objects := source.New(hub, view)
	authenticator, tokens, requests, err := authentication(c.authority, objects)
	if err != nil {
		return nil, err
	}
	policy := rbac.New()
	if err := follow(p, hub, source.Policy(view), policy); err != nil {
		return nil, err
	}
	graph := authnode.NewGraph()
	if err := follow(p, hub, source.Nodes(view), graph); err != nil {
		return nil, err
	}
	authorizer := union.Authorizers{auth.AuthorizerFunc(masters.Authorize), authnode.New(graph, bootstrap.NodeRules()), policy}
	serving, err := c.authority.Leaf(pki.APIServer(c.serviceIP, c.names...))
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	chain, err := admissionbuiltin.Chain(admissionbuiltin.Config{
		Objects: objects, Authorizer: authorizer, Policy: policy, Clock: clock.RealClock{},
	})
	if err != nil {
		return nil, err
	}
	registry := connect.Registry{}
	server, err := apiserver.New(apiserver.Config{
		Table: table, Hub: hub, Log: c.log, TLS: c.authority.ServerTLS(serving),
		Authenticator: authenticator,
		Authorizer:    authorizer,
		Admission:     chain,
		Connects:      registry,
	})
	if err != nil {
		return nil, err
	}
	// Handlers that work through the server's own verbs are added last.
	registry.Add(subresource.Pods(server.API()))
	registry.Add(subresource.Token(requests))
	registry.Add(subresource.Reviews(tokens, authorizer, policy))
	p.run("API server", func(ctx context.Context) error { return server.Serve(ctx, c.listener) })
	a, err := netip.ParseAddrPort(c.listener.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	return &api{server: server, hub: hub, table: table, address: a, log: c.log}, nil
}

// authentication accepts client certificates and service-account tokens.
// Nobody else gets further than health.
func authentication(a *pki.Authority, objects *source.Objects) (auth.Authenticator, auth.TokenAuthenticator, *serviceaccount.Requests, error) {
	keys, err := a.TokenKeys()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("service-account keys: %w", err)
	}
	verifier, err := serviceaccount.NewVerifier([]string{issuer}, []string{issuer}, keys, objects, clock.RealClock{})
	if err != nil {
		return nil, nil, nil, err
	}
	made, err := serviceaccount.NewIssuer(issuer, a.TokenKey())
	if err != nil {
		return nil, nil, nil, err
	}
	return union.OrElse{
			First: union.Authenticators{x509.New(a.Roots, clock.RealClock{}), token.Bearer{Tokens: verifier}},
			Then:  anonymous.Authenticator{Paths: anonymous.HealthPaths()},
		}, verifier, &serviceaccount.Requests{
			Issuer: made, Audiences: []string{issuer}, Objects: objects, Clock: clock.RealClock{},
		}, nil
}

// follow keeps an index up with the cache. It returns when the index knows all
// that was there.
func follow(p *parts, hub *cache.Hub, defs []*resource.Definition, x source.Index) error {
	var ready sync.WaitGroup
	for _, d := range defs {
		ready.Add(1)
		p.run("index of "+d.Plural, func(ctx context.Context) error {
			return source.Follow(ctx, hub, d, x, sync.OnceFunc(ready.Done))
		})
	}
	done := make(chan struct{})
	go func() { ready.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-p.context().Done():
		return context.Cause(p.context())
	}
}

// listen opens the API server's port.
func listen(c *Config) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(c.API.BindAddress, strconv.Itoa(*c.API.Port)))
	if err != nil {
		return nil, fmt.Errorf("port %d of the API server cannot be opened: stop what uses it, or choose another with --port: %w", *c.API.Port, err)
	}
	return l, nil
}
