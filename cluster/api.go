package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/utils/clock"

	admissionbuiltin "proa/admission/builtin"
	"proa/apiserver"
	"proa/apiserver/aggregator"
	"proa/apiserver/callout"
	"proa/apiserver/crds"
	"proa/apiserver/fairness"
	"proa/apiserver/health"
	"proa/apiserver/local"
	"proa/apiserver/managed"
	"proa/apiserver/stream"
	"proa/apiserver/subresource"
	"proa/auth"
	"proa/auth/configuration"
	"proa/auth/serviceaccount"
	"proa/auth/standard"
	"proa/cache"
	"proa/cache/codec"
	"proa/cache/encryption"
	"proa/network/ipalloc"
	"proa/openapi"
	"proa/pki"
	"proa/resource"
	"proa/resource/builtin"
	"proa/store"
)

// api is a running API server with what it stands on.
type api struct {
	server  *apiserver.Server
	hub     *cache.Hub
	table   *resource.Table
	address netip.AddrPort
	// services are the ranges of cluster IPs that it is configured with.
	services   []netip.Prefix
	priorities *fairness.Fairness
	aggregator *aggregator.Aggregator
	log        *slog.Logger
}

// definition of a builtin resource, which the table always has.
func (a *api) definition(group, version, plural string) *resource.Definition {
	m, _ := a.table.View().Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural})
	return m.Definition
}

// apiConfig is what an API server is made of.
type apiConfig struct {
	store          store.Store
	encryption     *encryption.Encryption // nil: none
	authority      *pki.Authority
	listener       net.Listener // nil: it is reached in this process only
	outer          net.Listener // a second one, in another network namespace, or nil
	names          []string     // of the serving certificate
	serviceIP      string
	services       netip.Prefix // of cluster IPs
	profiling      bool
	audit          Audit
	authentication configuration.AuthenticationOptions
	authorization  configuration.AuthorizationOptions
	bootstrap      *bootstrapping
	clock          clock.WithTicker
	managed        *managed.Tracker // nil: one of its own
	guard          int              // of replaced objects, for tests
	log            *slog.Logger
}

// seats is how many requests are worked on at once, all levels together:
// upstream's bounds of reads and writes.
const seats = 400 + 200

// storeCheck is how long the store may take to answer a health check.
const storeCheck = 2 * time.Second

// startAPI composes an API server and starts it among parts. It answers when
// this returns.
func startAPI(ctx context.Context, p *parts, c apiConfig) (*api, error) {
	table := builtin.Table()
	if c.encryption == nil {
		c.encryption = encryption.None()
	}
	hub := cache.NewHub(c.store, codec.Storage{}, cache.Options{Log: c.log, Now: c.clock.Now, Guard: c.guard, Transformer: c.encryption.For})
	c.encryption.Notify(hub.Reread)
	// Before the hub runs, so that watches of the last process can resume here.
	// Events are many, and seldom read: they wait until somebody asks.
	for _, def := range table.View().Definitions {
		if def.Kind != "Event" {
			hub.Warm(def)
		}
	}
	p.run("cache", hub.Run)
	if c.managed == nil {
		c.managed = managed.New(managed.StandardTypes)
	}
	who, err := standard.New(p.context(), standard.Config{
		PKI: c.authority, Hub: hub, View: table.View(), Clock: c.clock, Log: c.log, Authentication: c.authentication, Authorization: c.authorization,
	})
	if err != nil {
		return nil, err
	}
	calls := callout.New(who.Objects, nil)
	context.AfterFunc(p.context(), calls.Close)
	definitions := crds.New(crds.Config{Table: table, Hub: hub, Managed: c.managed, Caller: crds.Webhooks{Caller: calls}, Log: c.log})
	p.run("custom resources", definitions.Run)
	p.run("authorization", who.Run)
	select {
	case <-who.Ready():
	case <-p.context().Done():
		return nil, context.Cause(p.context())
	}
	select {
	case <-definitions.Ready():
	case <-p.context().Done():
		return nil, context.Cause(p.context())
	}
	serving, err := c.authority.Leaf(pki.APIServer(c.serviceIP, c.names...))
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	// Quotas are charged through the server itself, once it is made.
	var system kubernetes.Interface
	chain, err := admissionbuiltin.Chain(admissionbuiltin.Config{
		Table: table, Hub: hub, Caller: calls, Managed: c.managed, Log: c.log, Objects: who.Objects, Authorizer: who.Authorizer, Policy: who.Policy, Clock: c.clock,
		ChargeQuota: func(ctx context.Context, q *v1.ResourceQuota) (*v1.ResourceQuota, error) {
			return system.CoreV1().ResourceQuotas(q.Namespace).UpdateStatus(ctx, q, metav1.UpdateOptions{})
		},
	})
	if err != nil {
		return nil, err
	}
	logger, err := newAudit(c.audit, c.clock.Now, c.log)
	if err != nil {
		return nil, err
	}
	if logger != nil {
		context.AfterFunc(p.context(), logger.Close)
	}
	registry := subresource.Token(who.Requests)
	registry.Add(subresource.Reviews(who.Tokens, who.Authorizer, who.Rules))
	nodes, err := c.authority.Leaf(pki.KubeletClient())
	if err != nil {
		return nil, fmt.Errorf("client certificate for nodes: %w", err)
	}
	registry.Add(stream.Registry(stream.Config{Objects: who.Objects, NodeTLS: c.authority.ClientTLS(nodes), Log: c.log}))
	ranges := []netip.Prefix{c.services}
	allocators, services, err := ipalloc.For(table, hub, ipalloc.Config{Addresses: ranges, Now: c.clock.Now, Log: c.log})
	if err != nil {
		return nil, err
	}
	p.run("service addresses", func(ctx context.Context) error { services.Run(ctx); return nil })
	docs, err := openapi.New(table, managed.StandardTypes)
	if err != nil {
		return nil, fmt.Errorf("OpenAPI: %w", err)
	}
	p.run("OpenAPI", func(ctx context.Context) error { docs.Run(ctx); return nil })
	front, err := c.authority.Leaf(pki.FrontProxyClient())
	if err != nil {
		return nil, fmt.Errorf("client certificate of a front proxy: %w", err)
	}
	others := aggregator.New(aggregator.Config{
		Table: table, Hub: hub, Services: who.Objects, Certificate: front.Certificate, Log: c.log,
		Now:       func() metav1.Time { return metav1.NewTime(c.clock.Now()) },
		Published: func(r *aggregator.Remotes) { docs.Merge(otherDocuments(p.context(), r)) },
	})
	priorities := fairness.New(fairness.Config{Total: seats, Log: c.log})
	p.run("priority and fairness", func(ctx context.Context) error { priorities.Run(ctx); return nil })
	server, err := apiserver.New(apiserver.Config{
		Table: table, Hub: hub, Log: c.log, TLS: c.authority.ServerTLS(serving), Now: c.clock.Now, Managed: c.managed,
		Allocators:    allocators,
		Authenticator: who.Authenticator,
		Authorizer:    who.Authorizer,
		Admission:     chain,
		Profiling:     c.profiling,
		Audit:         logger,
		Fairness:      priorities,
		Sync:          definitions.Sync,
		Aggregator:    others,
		Connects:      registry,
		Mounts: append(discoveryMounts(who.Discovery),
			apiserver.Mount{Prefix: "/openapi", Handler: others.OpenAPI(docs), Paths: []string{"/openapi/v2", "/openapi/v3"}}),
		Livez: []health.Check{{Name: "etcd", Check: func(r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), storeCheck)
			defer cancel()
			_, err := c.store.Revision(ctx)
			return err
		}}, {Name: encryption.CheckName, Check: c.encryption.Check}},
		Readyz: c.bootstrap.checks(),
	})
	if err != nil {
		return nil, err
	}
	if system, err = local.Clients(server.Handler(), apiserverUser(), "proa"); err != nil {
		return nil, err
	}
	loops := crds.Controllers{Table: table, Hub: hub, Handler: server.Handler(), User: apiserverUser(), Clock: c.clock, Log: c.log}
	p.run("custom resource controllers", loops.Run)
	if c.listener == nil {
		p.run("API server", func(ctx context.Context) error { <-ctx.Done(); server.Drain(); return nil })
		return &api{server: server, hub: hub, table: table, services: ranges, priorities: priorities, aggregator: others, log: c.log}, nil
	}
	p.run("API server", func(ctx context.Context) error { return server.Serve(ctx, c.listener) })
	if c.outer != nil {
		p.run("API server", func(ctx context.Context) error { return server.Serve(ctx, c.outer) })
	}
	a, err := netip.ParseAddrPort(c.listener.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	return &api{server: server, hub: hub, table: table, address: a, services: ranges, priorities: priorities, aggregator: others, log: c.log}, nil
}

// otherDocuments are those of OpenAPI v2 of other servers that answer.
func otherDocuments(ctx context.Context, r *aggregator.Remotes) []openapi.Other {
	var out []openapi.Other
	for _, v := range r.Versions {
		if v.Current {
			out = append(out, openapi.Other{
				Prefix:   "/apis/" + v.String() + "/",
				Document: func() (*spec.Swagger, error) { return r.Swagger(ctx, v.GroupVersion) },
			})
		}
	}
	return out
}

// apiserverUser is the API server itself, to itself.
func apiserverUser() *auth.User {
	return &auth.User{Name: "system:apiserver", Groups: []string{auth.GroupMasters, auth.GroupAuthenticated}}
}

// discoveryMounts serves the documents by which others verify the tokens of
// service accounts.
func discoveryMounts(d *serviceaccount.Discovery) []apiserver.Mount {
	if d == nil {
		return nil
	}
	return []apiserver.Mount{
		{Prefix: serviceaccount.ConfigurationPath, Handler: http.HandlerFunc(d.Configuration), Paths: []string{serviceaccount.ConfigurationPath}},
		{Prefix: serviceaccount.JWKSPath, Handler: http.HandlerFunc(d.JWKS), Paths: []string{serviceaccount.JWKSPath}},
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
