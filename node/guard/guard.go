package guard

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	authx509 "proa/auth/x509"
)

// Config is what a Guard is made of.
type Config struct {
	// Roots are the CAs of client certificates; nil accepts none.
	Roots func() *x509.CertPool
	// Client asks the API server; nil accepts no tokens and allows nothing.
	Client kubernetes.Interface
	// Tokens is false where bearer tokens are not accepted.
	Tokens bool
	// Anonymous lets requests without credentials go on to authorization.
	Anonymous bool
	// AllowAll skips authorization; authentication remains.
	AllowAll bool
	// How long answers are kept. Defaults: 2m, 5m, 30s.
	TokenTTL, AllowTTL, DenyTTL time.Duration
}

// cached bounds each cache.
const cached = 1024

// reviewTimeout bounds one question to the API server.
const reviewTimeout = 10 * time.Second

// Guard implements authenticator.Request and authorizer.Authorizer. Safe for
// concurrent use.
type Guard struct {
	cfg    Config
	certs  *authx509.Authenticator
	tokens *cache.LRUExpireCache
	access *cache.LRUExpireCache
}

// New returns a guard.
func New(cfg Config) *Guard {
	or := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	or(&cfg.TokenTTL, 2*time.Minute)
	or(&cfg.AllowTTL, 5*time.Minute)
	or(&cfg.DenyTTL, 30*time.Second)
	g := &Guard{cfg: cfg, tokens: cache.NewLRUExpireCache(cached), access: cache.NewLRUExpireCache(cached)}
	if cfg.Roots != nil {
		g.certs = authx509.New(cfg.Roots, clock.RealClock{})
	}
	return g
}

// AuthenticateRequest finds out who sent the request.
func (g *Guard) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if g.certs != nil {
		u, err := g.certs.Authenticate(r)
		if err != nil {
			return nil, false, err
		}
		if u != nil {
			return response(&user.DefaultInfo{Name: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra}), true, nil
		}
	}
	if token := bearer(r); token != "" && g.cfg.Tokens && g.cfg.Client != nil {
		info, err := g.token(r.Context(), token)
		if err != nil || info == nil {
			return nil, false, err
		}
		return response(info), true, nil
	}
	if g.cfg.Anonymous && bearer(r) == "" {
		return &authenticator.Response{User: &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}}, true, nil
	}
	return nil, false, nil
}

// response adds the group of all who have been authenticated.
func response(u *user.DefaultInfo) *authenticator.Response {
	for _, group := range u.Groups {
		if group == user.AllAuthenticated {
			return &authenticator.Response{User: u}
		}
	}
	out := *u
	out.Groups = append(append([]string(nil), u.Groups...), user.AllAuthenticated)
	return &authenticator.Response{User: &out}
}

func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// token asks whose a token is; nil if nobody's. Tokens are remembered by their
// hash only.
func (g *Guard) token(ctx context.Context, token string) (*user.DefaultInfo, error) {
	key := sha256.Sum256([]byte(token))
	if v, ok := g.tokens.Get(key); ok {
		return v.(*user.DefaultInfo), nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review, err := g.cfg.Client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("the API server cannot be asked about the token: %w", err)
	}
	if !review.Status.Authenticated {
		if review.Status.Error != "" {
			return nil, errors.New(review.Status.Error)
		}
		return nil, nil
	}
	u := review.Status.User
	info := &user.DefaultInfo{Name: u.Username, UID: u.UID, Groups: u.Groups, Extra: map[string][]string{}}
	for k, v := range u.Extra {
		info.Extra[k] = v
	}
	g.tokens.Add(key, info, g.cfg.TokenTTL)
	return info, nil
}

// answer is a remembered SubjectAccessReview.
type answer struct {
	decision authorizer.Decision
	reason   string
}

// Authorize asks whether a user may do something on this node.
func (g *Guard) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if g.cfg.AllowAll {
		return authorizer.DecisionAllow, "", nil
	}
	if g.cfg.Client == nil {
		return authorizer.DecisionDeny, "this agent has no API server to ask", nil
	}
	spec := question(a)
	key := spec.String()
	if v, ok := g.access.Get(key); ok {
		was := v.(answer)
		return was.decision, was.reason, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review, err := g.cfg.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return authorizer.DecisionDeny, "", fmt.Errorf("the API server cannot be asked for permission: %w", err)
	}
	out, ttl := answer{authorizer.DecisionNoOpinion, review.Status.Reason}, g.cfg.DenyTTL
	switch {
	case review.Status.Allowed:
		out.decision, ttl = authorizer.DecisionAllow, g.cfg.AllowTTL
	case review.Status.Denied:
		out.decision = authorizer.DecisionDeny
	}
	g.access.Add(key, out, ttl)
	return out.decision, out.reason, nil
}

// question puts attributes into a review.
func question(a authorizer.Attributes) authorizationv1.SubjectAccessReviewSpec {
	var spec authorizationv1.SubjectAccessReviewSpec
	if u := a.GetUser(); u != nil {
		spec.User, spec.UID, spec.Groups = u.GetName(), u.GetUID(), u.GetGroups()
		for k, v := range u.GetExtra() {
			if spec.Extra == nil {
				spec.Extra = map[string]authorizationv1.ExtraValue{}
			}
			spec.Extra[k] = v
		}
	}
	if a.IsResourceRequest() {
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: a.GetNamespace(), Verb: a.GetVerb(), Group: a.GetAPIGroup(), Version: a.GetAPIVersion(),
			Resource: a.GetResource(), Subresource: a.GetSubresource(), Name: a.GetName(),
		}
	} else {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.GetPath(), Verb: a.GetVerb()}
	}
	return spec
}
