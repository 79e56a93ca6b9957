package serviceaccount

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/auth"
	"proa/auth/token"
)

const (
	legacyIssuer = "kubernetes/serviceaccount"
	// maxKnown bounds the tokens whose signature is remembered.
	maxKnown = 8192
	// maxToken bounds what is parsed at all.
	maxToken = 64 << 10
	// leeway is how far apart the clocks of servers may be.
	leeway = jwt.DefaultLeeway
)

// Objects are what tokens are checked against, by name. Errors are API status
// errors. A Get should see at least what this server has written: the first
// use of a token may follow its pod by milliseconds.
type Objects interface {
	ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error)
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	Node(ctx context.Context, name string) (*corev1.Node, error)
}

// Verifier is an [auth.TokenAuthenticator] of service-account tokens.
type Verifier struct {
	issuers   []string
	audiences []string
	keys      map[string]crypto.PublicKey // by key ID
	all       []crypto.PublicKey
	objects   Objects
	clock     clock.PassiveClock
	known     *token.Memory[*verified]
}

// verified is a token whose signature is good.
type verified struct {
	claims *claims
	legacy *legacyClaims
	user   *auth.User
}

// NewVerifier accepts tokens of the issuers (the present one and former ones)
// that one of the keys has signed, for the API server's own audiences.
func NewVerifier(issuers, audiences []string, keys []crypto.PublicKey, objects Objects, c clock.PassiveClock) (*Verifier, error) {
	v := &Verifier{
		issuers: issuers, audiences: audiences, keys: map[string]crypto.PublicKey{}, all: keys,
		objects: objects, clock: c, known: token.NewMemory[*verified](maxKnown, c),
	}
	for _, k := range keys {
		id, err := keyID(k)
		if err != nil {
			return nil, err
		}
		v.keys[id] = k
	}
	return v, nil
}

// AuthenticateToken implements [auth.TokenAuthenticator].
func (v *Verifier) AuthenticateToken(ctx context.Context, data string, audiences []string) (*auth.User, []string, error) {
	h := token.Hash(data, nil)
	t, ok := v.known.Get(h)
	if !ok {
		var err error
		if t, err = v.verify(data); t == nil || err != nil {
			return nil, nil, err
		}
	}
	if len(audiences) == 0 {
		audiences = v.audiences
	}
	of := v.audiences // a token of the old kind names none
	if t.claims != nil {
		of = t.claims.Audience
	}
	valid := intersect(of, audiences)
	if len(valid) == 0 {
		return nil, nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", of, audiences)
	}
	now := v.clock.Now()
	var err error
	if t.legacy != nil {
		err = v.checkLegacy(ctx, data, t.legacy)
	} else {
		err = v.check(ctx, t.claims, now)
	}
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		until := now.Add(time.Hour)
		if t.claims != nil {
			until = t.claims.Expiry.Time().Add(leeway)
		}
		v.known.Put(h, t, until)
	}
	return t.user, valid, nil
}

// intersect returns those of a that are in b: a itself where that is all.
func intersect(a, b []string) []string {
	outside := func(s string) bool { return !slices.Contains(b, s) }
	if !slices.ContainsFunc(a, outside) {
		return a
	}
	return slices.DeleteFunc(slices.Clone(a), outside)
}

// verify checks the signature of a token of one of the issuers; for any other
// token it returns nil.
func (v *Verifier) verify(data string) (*verified, error) {
	issuer := issuerOf(data)
	legacy := issuer == legacyIssuer
	if !legacy && !slices.Contains(v.issuers, issuer) {
		return nil, nil
	}
	tok, err := jwt.ParseSigned(data, []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512,
	})
	if err != nil {
		return nil, errors.New("invalid bearer token")
	}
	keys := v.all
	if id := tok.Headers[0].KeyID; id != "" {
		if k, ok := v.keys[id]; ok {
			keys = []crypto.PublicKey{k}
		}
	}
	for _, k := range keys {
		if legacy {
			l := &legacyClaims{}
			if err = tok.Claims(k, l); err == nil {
				return &verified{legacy: l, user: l.user()}, l.wellFormed()
			}
			continue
		}
		c := &claims{}
		if err = tok.Claims(k, c); err == nil {
			if c.Expiry == nil {
				return nil, errors.New("service account token claims could not be validated due to missing claim: exp")
			}
			return &verified{claims: c, user: c.user()}, nil
		}
	}
	return nil, errors.New("invalid bearer token")
}

// issuerOf reads the issuer out of a token that is not verified yet, to tell
// whether it is one of ours at all.
func issuerOf(data string) string {
	if len(data) > maxToken {
		return ""
	}
	_, rest, ok := strings.Cut(data, ".")
	payload, sig, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(sig, ".") {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&c) != nil {
		return ""
	}
	return c.Issuer
}

var errInvalidated = errors.New("service account token has been invalidated")

// check holds a token against the time and the objects that it names.
func (v *Verifier) check(ctx context.Context, c *claims, now time.Time) error {
	switch {
	case now.Add(-leeway).After(c.Expiry.Time()):
		return errors.New("service account token has expired")
	case c.NotBefore != nil && now.Add(leeway).Before(c.NotBefore.Time()),
		c.IssuedAt != nil && now.Add(leeway).Before(c.IssuedAt.Time()):
		return errors.New("service account token is not valid yet")
	}
	k := &c.Kubernetes
	sa, err := v.objects.ServiceAccount(ctx, k.Namespace, k.ServiceAccount.Name)
	if err != nil {
		return err
	}
	if gone(sa, now) {
		return fmt.Errorf("service account %s/%s has been deleted", k.Namespace, k.ServiceAccount.Name)
	}
	if string(sa.UID) != k.ServiceAccount.UID {
		return fmt.Errorf("service account UID (%s) does not match claim (%s)", sa.UID, k.ServiceAccount.UID)
	}
	if k.Secret != nil {
		s, err := v.objects.Secret(ctx, k.Namespace, k.Secret.Name)
		if err != nil || gone(s, now) {
			return errInvalidated
		}
		if string(s.UID) != k.Secret.UID {
			return fmt.Errorf("secret UID (%s) does not match service account secret ref claim (%s)", s.UID, k.Secret.UID)
		}
	}
	if k.Pod != nil {
		p, err := v.objects.Pod(ctx, k.Namespace, k.Pod.Name)
		if err != nil || gone(p, now) {
			return errInvalidated
		}
		if string(p.UID) != k.Pod.UID {
			return fmt.Errorf("pod UID (%s) does not match service account pod ref claim (%s)", p.UID, k.Pod.UID)
		}
		return nil // a pod's node is information only
	}
	if k.Node != nil {
		n, err := v.objects.Node(ctx, k.Node.Name)
		if err != nil || gone(n, now) {
			return errInvalidated
		}
		if string(n.UID) != k.Node.UID {
			return fmt.Errorf("node UID (%s) does not match service account node ref claim (%s)", n.UID, k.Node.UID)
		}
	}
	return nil
}

// gone reports whether an object's deletion is due. Until then (a pod that
// terminates) its tokens are good.
func gone(o metav1.Object, now time.Time) bool {
	d := o.GetDeletionTimestamp()
	return d != nil && d.Time.Before(now.Add(-leeway))
}

// Stale reports whether a token that has been accepted is past the time at
// which its holder should have fetched another: it still works only because
// old clients never look again. For the audit log and a metric.
func (v *Verifier) Stale(data string) bool {
	t, ok := v.known.Get(token.Hash(data, nil))
	return ok && t.claims != nil && t.claims.Kubernetes.WarnAfter != nil && v.clock.Now().After(t.claims.Kubernetes.WarnAfter.Time())
}
