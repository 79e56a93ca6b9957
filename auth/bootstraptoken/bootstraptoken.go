// Package bootstraptoken authenticates the tokens by which a new node asks for
// its first certificate: an identifier and a secret, kept in a secret of
// kube-system until they expire.
//
// Such a caller is in the group system:bootstrappers, which may do nothing
// unless it is given a role (system:node-bootstrapper, as a rule).
package bootstraptoken

import (
	"context"
	"crypto/subtle"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/auth"
)

// What a secret of such a token holds, under which name and type.
const (
	SecretType   = corev1.SecretType("bootstrap.kubernetes.io/token")
	SecretPrefix = "bootstrap-token-"
	KeyID        = "token-id"
	KeySecret    = "token-secret"
	// KeyExpiration is a time in the form of RFC 3339.
	KeyExpiration = "expiration"
	// KeyUsage must be "true" for the token to authenticate.
	KeyUsage = "usage-bootstrap-authentication"
	// KeyGroups lists further groups, separated by commas. Each must begin
	// with Group and a colon.
	KeyGroups = "auth-extra-groups"
)

// Group is that of all callers with such a token, and UserPrefix begins their
// names; the token's identifier follows.
const (
	Group      = "system:bootstrappers"
	UserPrefix = "system:bootstrap:"
)

var (
	form      = regexp.MustCompile(`\A([a-z0-9]{6})\.([a-z0-9]{16})\z`)
	groupForm = regexp.MustCompile(`\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z`)
)

// Secrets finds secrets.
type Secrets interface {
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
}

// Authenticator is an [auth.TokenAuthenticator].
type Authenticator struct {
	secrets Secrets
	clock   clock.PassiveClock
}

// New makes an authenticator.
func New(s Secrets, c clock.PassiveClock) *Authenticator { return &Authenticator{s, c} }

// AuthenticateToken implements [auth.TokenAuthenticator]. A token that is not
// good is one that nobody knows: why is not for the caller to learn.
func (a *Authenticator) AuthenticateToken(ctx context.Context, token string, audiences []string) (*auth.User, []string, error) {
	m := form.FindStringSubmatch(token)
	if m == nil {
		return nil, nil, nil
	}
	id, secret := m[1], m[2]
	s, err := a.secrets.Secret(ctx, metav1.NamespaceSystem, SecretPrefix+id)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !a.good(s, id, secret) {
		return nil, nil, nil
	}
	groups, err := groupsOf(s)
	if err != nil {
		return nil, nil, fmt.Errorf("bootstrap token %s: %w", id, err)
	}
	return &auth.User{Name: UserPrefix + id, Groups: append(groups, auth.GroupAuthenticated)}, audiences, nil
}

func (a *Authenticator) good(s *corev1.Secret, id, secret string) bool {
	same := subtle.ConstantTimeCompare(s.Data[KeySecret], []byte(secret)) == 1
	if !same || s.DeletionTimestamp != nil || s.Type != SecretType || string(s.Data[KeyID]) != id || string(s.Data[KeyUsage]) != "true" {
		return false
	}
	end, ok := s.Data[KeyExpiration]
	if !ok {
		return true
	}
	t, err := time.Parse(time.RFC3339, string(end))
	// What cannot be read has expired.
	return err == nil && a.clock.Now().Before(t)
}

func groupsOf(s *corev1.Secret) ([]string, error) {
	groups := []string{Group}
	for _, g := range strings.Split(string(s.Data[KeyGroups]), ",") {
		if g == "" {
			continue
		}
		if !groupForm.MatchString(g) {
			return nil, fmt.Errorf("bootstrap group %q is invalid (must match %s)", g, groupForm)
		}
		groups = append(groups, g)
	}
	return groups, nil
}
