package jwt

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"proa/auth"
	"proa/auth/library"
)

// Options of [New].
type Options struct {
	// Audiences of the API server: those that a token review may ask about.
	Audiences []string
	// DisallowedIssuers are those of the cluster's own tokens.
	DisallowedIssuers []string
	// Algorithms that tokens may be signed with; empty: all that are safe.
	Algorithms []string
	// Compiler of expressions, to be shared.
	Compiler authenticationcel.Compiler
}

// Issuer is an [auth.TokenAuthenticator] of one issuer's tokens. It knows nothing
// of the tokens of others.
type Issuer struct {
	library.Tokens
	url    string
	inside oidc.AuthenticatorTokenWithHealthCheck
}

var _ auth.TokenAuthenticator = (*Issuer)(nil)

// New makes an authenticator, which looks for its issuer until it finds it. It
// must not be used after ctx has ended.
func New(ctx context.Context, c apiserver.JWTAuthenticator, o Options) (*Issuer, error) {
	if c.Issuer.EgressSelectorType != "" {
		return nil, fmt.Errorf("issuer %s: egressSelectorType: there are no egress selectors here; leave it out to reach the issuer directly", c.Issuer.URL)
	}
	client, err := newClient(c.Issuer.CertificateAuthority)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", c.Issuer.URL, err)
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = oidc.AllValidSigningAlgorithms()
	}
	t, err := oidc.New(ctx, oidc.Options{
		JWTAuthenticator: c, Client: client, Compiler: o.Compiler, SupportedSigningAlgs: o.Algorithms, DisallowedIssuers: o.DisallowedIssuers,
	})
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", c.Issuer.URL, err)
	}
	return &Issuer{library.Tokens{Token: authenticator.WrapAudienceAgnosticToken(o.Audiences, t), Own: o.Audiences}, c.Issuer.URL, t}, nil
}

// Ready reports what keeps the issuer's tokens from being verified: nil once its
// keys have been found.
func (i *Issuer) Ready() error { return i.inside.HealthCheck() }

// look is how often WaitReady looks; the library tells of nothing by itself.
const look = 50 * time.Millisecond

// WaitReady waits until the issuer is ready, and says why it is not when ctx ends.
func (i *Issuer) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		err := i.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the issuer %s was not found: see whether %s/.well-known/openid-configuration answers, and whether its certificate is by the certificateAuthority: %w", i.url, i.url, err)
		}
	}
}
