// Package x509 authenticates the client certificates of TLS connections: the
// common name is the user, the organizations are its groups.
//
// A certificate is verified once, not once per request: the verdict is kept
// beside the certificate, which all requests of a connection share, until the
// certificate or the authorities change. The cache is bounded and holds no
// refusals.
package x509

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"proa/auth"
)

// CredentialID is the key of User.Extra that names the certificate.
const CredentialID = "authentication.kubernetes.io/credential-id"

// uidOID is the subject attribute that carries a user's UID.
var uidOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}

// maxCached bounds the certificates that are remembered.
const maxCached = 4096

// Authenticator is an [auth.Authenticator] of client certificates.
type Authenticator struct {
	roots func() *x509.CertPool
	clock clock.PassiveClock

	mu    sync.RWMutex
	pool  *x509.CertPool // that the cached verdicts are for
	cache map[*x509.Certificate]verdict
}

type verdict struct {
	user  *auth.User
	until time.Time
}

// New makes an authenticator that trusts what roots returns at the time.
func New(roots func() *x509.CertPool, c clock.PassiveClock) *Authenticator {
	return &Authenticator{roots: roots, clock: c, cache: map[*x509.Certificate]verdict{}}
}

// Authenticate implements [auth.Authenticator].
func (a *Authenticator) Authenticate(r *http.Request) (*auth.User, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	leaf, pool, now := r.TLS.PeerCertificates[0], a.roots(), a.clock.Now()
	a.mu.RLock()
	v, ok := a.cache[leaf]
	ok = ok && a.pool == pool
	a.mu.RUnlock()
	if ok && now.Before(v.until) && !now.Before(leaf.NotBefore) {
		return v.user, nil
	}
	v, err := a.verify(r.TLS.PeerCertificates, pool, now)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// Starting over when full is simple and costs one verification per live
	// connection.
	if a.pool != pool || len(a.cache) >= maxCached {
		a.pool = pool
		clear(a.cache)
	}
	a.cache[leaf] = v
	return v.user, nil
}

func (a *Authenticator) verify(chain []*x509.Certificate, pool *x509.CertPool, now time.Time) (verdict, error) {
	leaf := chain[0]
	o := x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if len(chain) > 1 {
		o.Intermediates = x509.NewCertPool()
		for _, c := range chain[1:] {
			o.Intermediates.AddCert(c)
		}
	}
	chains, err := leaf.Verify(o)
	if err != nil {
		return verdict{}, fmt.Errorf("verifying certificate %s failed: %w", describe(leaf, now), err)
	}
	user, err := userOf(leaf)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{user: user, until: leaf.NotAfter}
	for _, c := range chains[0] {
		if c.NotAfter.Before(v.until) {
			v.until = c.NotAfter
		}
	}
	return v, nil
}

// userOf reads the user out of a certificate that has been verified.
func userOf(c *x509.Certificate) (*auth.User, error) {
	if c.Subject.CommonName == "" {
		return nil, nil
	}
	uid, err := uidOf(c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(c.Raw)
	groups := make([]string, 0, len(c.Subject.Organization)+1)
	groups = append(groups, c.Subject.Organization...)
	u := &auth.User{
		Name: c.Subject.CommonName, UID: uid, Groups: groups,
		Extra: map[string][]string{CredentialID: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}
	return auth.Authenticated(u), nil
}

func uidOf(c *x509.Certificate) (string, error) {
	var uid string
	for _, n := range c.Subject.Names {
		if !n.Type.Equal(uidOID) {
			continue
		}
		s, ok := n.Value.(string)
		if !ok {
			return "", fmt.Errorf("unable to parse UID into a string")
		}
		if uid != "" {
			return "", fmt.Errorf("expected 1 UID, but found multiple")
		}
		if s == "" {
			return "", fmt.Errorf("UID cannot be an empty string")
		}
		uid = s
	}
	return uid, nil
}

// describe names a certificate for an error message, without its content.
func describe(c *x509.Certificate, now time.Time) string {
	state := fmt.Sprintf("valid from %s to %s", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	return fmt.Sprintf("SN=%d, SKID=%X, AKID=%X (%s, now %s)", c.SerialNumber, c.SubjectKeyId, c.AuthorityKeyId, state, now.UTC().Format(time.RFC3339))
}
