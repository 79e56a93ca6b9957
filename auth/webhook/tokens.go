package webhook

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	"k8s.io/utils/clock"

	"proa/auth"
	"proa/auth/library"
	"proa/auth/token"
)

// DefaultTokenTTL is how long answers about tokens are remembered.
const DefaultTokenTTL = 2 * time.Minute

// rememberedTokens bounds the answers that are remembered.
const rememberedTokens = 4096

// Tokens says how tokens are reviewed by a server.
type Tokens struct {
	Kubeconfig string
	// Version of the TokenReview: v1 or v1beta1.
	Version string
	// TTL of answers; 0: none is remembered.
	TTL time.Duration
	// Audiences of the API server, for which a token holds of which the server says
	// no other.
	Audiences []string
	Clock     clock.PassiveClock
}

// patient bounds the time of an answer.
type patient struct{ next auth.TokenAuthenticator }

// AuthenticateToken implements [auth.TokenAuthenticator].
func (p patient) AuthenticateToken(ctx context.Context, token string, audiences []string) (*auth.User, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.next.AuthenticateToken(ctx, token, audiences)
}

// NewTokens makes an authenticator.
func NewTokens(t Tokens) (auth.TokenAuthenticator, error) {
	c, err := client(t.Kubeconfig, 0)
	if err != nil {
		return nil, err
	}
	w, err := webhook.New(c, t.Version, t.Audiences, retries())
	if err != nil {
		return nil, fmt.Errorf("webhook for tokens: %w", err)
	}
	asked := patient{library.Tokens{Token: w, Own: t.Audiences}}
	if t.TTL <= 0 {
		return asked, nil
	}
	return token.NewCache(asked, rememberedTokens, t.TTL, t.Clock, token.Refusals), nil
}
