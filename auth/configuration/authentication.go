package configuration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/utils/clock"

	"proa/auth"
	"proa/auth/anonymous"
	"proa/auth/jwt"
	"proa/auth/token"
	"proa/auth/webhook"
	"proa/reload"
)

// Verified tokens of issuers are remembered for a moment, as upstream does: a
// signature costs more than all the rest of a small request.
const (
	rememberTokens = 4096
	rememberFor    = 10 * time.Second
)

// findIssuers is how long new issuers of a changed file may take to be found, and
// retire how long the former ones stay for requests under way.
const (
	findIssuers = time.Minute
	retire      = time.Minute
)

// AuthenticationOptions say who is let in beside certificates and the cluster's own
// tokens. The zero value is nobody, and anonymous requests for health.
type AuthenticationOptions struct {
	// File is an AuthenticationConfiguration. Without it OIDC is one issuer.
	File string
	OIDC OIDC
	// Anonymous lets requests without credentials in everywhere, or nowhere. Nil:
	// as the file says, else for health only.
	Anonymous *bool
	// Webhook is asked about tokens that nobody else knows, where it has a
	// Kubeconfig.
	Webhook webhook.Tokens

	// Audiences of the API server, and issuers of the cluster's own tokens.
	Audiences, DisallowedIssuers []string
	Clock                        clock.PassiveClock
	Log                          *slog.Logger
}

// Authentication is an [auth.TokenAuthenticator] of what is configured, and has an
// [auth.Authenticator] of anonymous requests. Safe for concurrent use.
type Authentication struct {
	options  AuthenticationOptions
	compiler authenticationcel.Compiler
	webhook  auth.TokenAuthenticator // nil: none
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
	force    atomic.Pointer[issuers]
}

// issuers are a configuration in force.
type issuers struct {
	all       []*jwt.Issuer
	tokens    auth.TokenAuthenticator // nil: nobody
	anonymous auth.Authenticator
	stop      context.CancelFunc
}

// OpenAuthentication reads the configuration. Issuers are looked for meanwhile;
// until one is found its tokens are refused. What it starts ends with ctx; Close
// waits for that.
func OpenAuthentication(ctx context.Context, o AuthenticationOptions) (*Authentication, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	a := &Authentication{options: o}
	a.ctx, a.stop = context.WithCancel(ctx)
	if err := a.open(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Authentication) open() error {
	o := a.options
	if o.File != "" && o.OIDC.given() {
		return errors.New("authentication-config and oidc-* flags are mutually exclusive: write the issuer into the file")
	}
	if o.Webhook.Kubeconfig != "" {
		o.Webhook.Audiences, o.Webhook.Clock = o.Audiences, o.Clock
		var err error
		if a.webhook, err = webhook.NewTokens(o.Webhook); err != nil {
			return err
		}
	}
	switch {
	case o.File != "":
		data, err := reload.Read(o.File)
		var first *issuers
		if err == nil {
			first, err = a.parse(data)
		}
		if err != nil {
			return fmt.Errorf("AuthenticationConfiguration %s cannot be used; correct it: %w", o.File, err)
		}
		a.force.Store(first)
		f := reload.File{Path: o.File, Loaded: data, Load: a.exchange, Log: o.Log}
		a.running.Go(func() { f.Follow(a.ctx) })
		return nil
	case o.OIDC.given():
		issuer, err := o.OIDC.authenticator()
		if err != nil {
			return err
		}
		set, err := a.make(&apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{issuer}}, o.OIDC.algorithms())
		if err != nil {
			return fmt.Errorf("oidc flags: %w", err)
		}
		a.force.Store(set)
		return nil
	}
	set, err := a.make(&apiserver.AuthenticationConfiguration{}, nil)
	a.force.Store(set)
	return err
}

// Close ends everything that runs, and waits for it.
func (a *Authentication) Close() {
	a.stop()
	a.running.Wait()
}

// parse makes what a file says.
func (a *Authentication) parse(data []byte) (*issuers, error) {
	c, err := decode[apiserver.AuthenticationConfiguration](data)
	if err != nil {
		return nil, err
	}
	if c.Anonymous != nil && a.options.Anonymous != nil {
		return nil, errors.New("anonymous: --anonymous-auth says something about it already; say it in one place")
	}
	return a.make(c, nil)
}

// expressions returns the compiler, which is made when there is something to
// compile first: it is dear.
func (a *Authentication) expressions() authenticationcel.Compiler {
	if a.compiler == nil {
		a.compiler = authenticationcel.NewDefaultCompiler()
	}
	return a.compiler
}

// make brings a configuration to life.
func (a *Authentication) make(c *apiserver.AuthenticationConfiguration, algorithms []string) (*issuers, error) {
	o := a.options
	ctx, stop := context.WithCancel(a.ctx)
	set := &issuers{anonymous: nobody(c.Anonymous, o.Anonymous), stop: stop}
	var tokens token.Union
	if len(c.JWT) > 0 || c.Anonymous != nil {
		if errs := validation.ValidateAuthenticationConfiguration(a.expressions(), c, o.DisallowedIssuers); len(errs) > 0 {
			stop()
			return nil, errs.ToAggregate()
		}
	}
	for _, j := range c.JWT {
		issuer, err := jwt.New(ctx, j, jwt.Options{
			Audiences: o.Audiences, DisallowedIssuers: o.DisallowedIssuers, Algorithms: algorithms, Compiler: a.expressions(),
		})
		if err != nil {
			stop()
			return nil, err
		}
		set.all = append(set.all, issuer)
		tokens = append(tokens, issuer)
	}
	if len(tokens) > 0 {
		set.tokens = token.NewCache(tokens, rememberTokens, rememberFor, o.Clock)
	}
	return set, nil
}

// nobody lets anonymous requests in, by the file or the flag.
func nobody(file *apiserver.AnonymousAuthConfig, flag *bool) auth.Authenticator {
	paths := anonymous.HealthPaths()
	switch {
	case file != nil && !file.Enabled, file == nil && flag != nil && !*flag:
		paths = []string{}
	case file != nil && len(file.Conditions) == 0, file == nil && flag != nil:
		paths = nil
	case file != nil:
		paths = []string{}
		for _, c := range file.Conditions {
			paths = append(paths, c.Path)
		}
	}
	return anonymous.Authenticator{Paths: paths}
}

// exchange takes a changed file into force, once its issuers have been found.
func (a *Authentication) exchange(ctx context.Context, data []byte) error {
	next, err := a.parse(data)
	if err != nil {
		return err
	}
	found, cancel := context.WithTimeout(ctx, findIssuers)
	defer cancel()
	wait, found := errgroup.WithContext(found)
	for _, i := range next.all {
		wait.Go(func() error { return i.WaitReady(found) })
	}
	if err := wait.Wait(); err != nil {
		next.stop()
		return err
	}
	old := a.force.Swap(next)
	a.running.Go(func() {
		defer old.stop()
		timer := time.NewTimer(retire)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-a.ctx.Done():
		}
	})
	return nil
}

// AuthenticateToken implements [auth.TokenAuthenticator].
func (a *Authentication) AuthenticateToken(ctx context.Context, t string, audiences []string) (*auth.User, []string, error) {
	var errs []error
	for _, next := range []auth.TokenAuthenticator{a.force.Load().tokens, a.webhook} {
		if next == nil {
			continue
		}
		user, valid, err := next.AuthenticateToken(ctx, t, audiences)
		if user != nil && err == nil {
			return user, valid, nil
		}
		errs = append(errs, err)
	}
	return nil, nil, errors.Join(errs...)
}

// Anonymous authenticates requests without credentials.
func (a *Authentication) Anonymous() auth.Authenticator { return nobodyNow{a} }

type nobodyNow struct{ a *Authentication }

// Authenticate implements [auth.Authenticator].
func (n nobodyNow) Authenticate(r *http.Request) (*auth.User, error) {
	return n.a.force.Load().anonymous.Authenticate(r)
}
