package pki

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
	// backdate lets a peer whose clock is a little behind accept a new
	// certificate.
	backdate = time.Hour
	// checkEvery bounds the time between two looks at all leaves, so that a
	// clock that jumps forward is noticed.
	checkEvery = time.Hour
)

// Authority is the infrastructure of one cluster. Safe for concurrent use.
type Authority struct {
	files  Files
	clock  clock.Clock
	random io.Reader

	ca    authority
	front authority
	token crypto.Signer

	mu     sync.Mutex // guards leaves, and serialises issuing
	leaves map[string]*Leaf
}

// authority is a certificate authority: its key never changes, its certificate
// is renewed.
type authority struct {
	file, name string
	key        crypto.Signer
	state      atomic.Pointer[caState]
}

type caState struct {
	cert *x509.Certificate
	// bundle is the whole file: further certificates in it are trusted too.
	bundle []byte
	pool   *x509.CertPool
}

// Open loads the infrastructure in dir and makes what is missing of the
// authorities and the token key.
func Open(dir string, c clock.Clock) (*Authority, error) {
	return OpenFiles(Dir(dir), c, rand.Reader)
}

// OpenFiles is Open over any files, with a given source of randomness.
func OpenFiles(f Files, c clock.Clock, random io.Reader) (*Authority, error) {
	a := &Authority{files: f, clock: c, random: random, leaves: map[string]*Leaf{}}
	a.ca.file, a.ca.name = "ca", "kubernetes"
	a.front.file, a.front.name = "front-proxy-ca", "front-proxy-ca"
	for _, ca := range []*authority{&a.ca, &a.front} {
		if err := a.openCA(ca); err != nil {
			return nil, err
		}
	}
	key, err := a.openKey("sa.key")
	if err != nil {
		return nil, err
	}
	a.token = key
	pub, err := encodePublic(key.Public())
	if err != nil {
		return nil, err
	}
	if was, err := readOptional(f, "sa.pub"); err != nil {
		return nil, err
	} else if was == nil {
		if err := f.Write("sa.pub", pub, false); err != nil {
			return nil, fmt.Errorf("write sa.pub: %w", err)
		}
	}
	return a, nil
}

// openKey loads a key or makes it.
func (a *Authority) openKey(file string) (crypto.Signer, error) {
	data, err := readOptional(a.files, file)
	if err != nil {
		return nil, err
	}
	if data != nil {
		key, err := parseKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged (%w): restore it from a backup, since everything in the cluster trusts it", file, err)
		}
		return key, nil
	}
	key, err := newKey(a.random)
	if err != nil {
		return nil, err
	}
	if data, err = encodeKey(key); err != nil {
		return nil, err
	}
	if err := a.files.Write(file, data, true); err != nil {
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	return key, nil
}

// openCA loads a certificate authority or makes it. The key is on the disk
// before the certificate, so a crash between the two leaves a key from which
// the certificate is made again.
func (a *Authority) openCA(ca *authority) error {
	bundle, err := readOptional(a.files, ca.file+".crt")
	if err != nil {
		return err
	}
	if bundle != nil {
		if k, err := readOptional(a.files, ca.file+".key"); err != nil {
			return err
		} else if k == nil {
			return fmt.Errorf("%s.crt exists without %s.key: restore the key beside it", ca.file, ca.file)
		}
	}
	if ca.key, err = a.openKey(ca.file + ".key"); err != nil {
		return err
	}
	now := a.clock.Now()
	var certs []*x509.Certificate
	if bundle != nil {
		if certs, err = parseCerts(bundle); err != nil {
			return fmt.Errorf("%s.crt is damaged (%w): restore it from a backup", ca.file, err)
		}
		if !samePublic(certs[0].PublicKey, ca.key.Public()) {
			return fmt.Errorf("%s.crt and %s.key do not belong together: restore the pair from a backup", ca.file, ca.file)
		}
	}
	if certs == nil || due(certs[0], now) {
		return a.renewCA(ca, certs, now)
	}
	ca.set(certs, bundle)
	return nil
}

// renewCA signs the authority's certificate anew with its own key. The subject
// and the key identifier stay, so that what it has issued remains valid.
func (a *Authority) renewCA(ca *authority, was []*x509.Certificate, now time.Time) error {
	serial, err := a.serial()
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: ca.name},
		DNSNames:              []string{ca.name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if len(was) > 0 {
		t.RawSubject, t.SubjectKeyId, t.DNSNames = was[0].RawSubject, was[0].SubjectKeyId, was[0].DNSNames
	}
	der, err := x509.CreateCertificate(a.random, t, t, ca.key.Public(), ca.key)
	if err != nil {
		return fmt.Errorf("sign %s.crt: %w", ca.file, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	certs := []*x509.Certificate{cert}
	if len(was) > 1 {
		certs = append(certs, was[1:]...)
	}
	var bundle []byte
	for _, c := range certs {
		bundle = append(bundle, encodeCert(c.Raw)...)
	}
	if err := a.files.Write(ca.file+".crt", bundle, true); err != nil {
		return fmt.Errorf("write %s.crt: %w", ca.file, err)
	}
	ca.set(certs, bundle)
	return nil
}

func (ca *authority) set(certs []*x509.Certificate, bundle []byte) {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	ca.state.Store(&caState{cert: certs[0], bundle: bundle, pool: pool})
}

// due reports whether a certificate is to be replaced: less than a third of
// its life is left, or it has not begun.
func due(c *x509.Certificate, now time.Time) bool {
	return now.Before(c.NotBefore) || !now.Before(renewAt(c))
}

func renewAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
}

func (a *Authority) serial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(a.random, b); err != nil {
		return nil, err
	}
	b[0] &= 0x7f // positive
	b[15] |= 1   // not zero
	return new(big.Int).SetBytes(b), nil
}

// CA is the certificate that everybody in the cluster trusts, in PEM form. The
// slice must not be changed.
func (a *Authority) CA() []byte { return a.ca.state.Load().bundle }

// Roots is the pool of CA. It is another one after a renewal.
func (a *Authority) Roots() *x509.CertPool { return a.ca.state.Load().pool }

// FrontProxyCA is the authority of front proxies, in PEM form.
func (a *Authority) FrontProxyCA() []byte { return a.front.state.Load().bundle }

// FrontProxyRoots is the pool of FrontProxyCA.
func (a *Authority) FrontProxyRoots() *x509.CertPool { return a.front.state.Load().pool }

// Signer is the authority itself, for the controller that answers certificate
// signing requests.
func (a *Authority) Signer() (*x509.Certificate, crypto.Signer) {
	return a.ca.state.Load().cert, a.ca.key
}

// TokenKey signs service-account tokens.
func (a *Authority) TokenKey() crypto.Signer { return a.token }

// TokenKeys are the keys that verify service-account tokens: the present one,
// and those that an operator keeps in sa.pub while tokens of a former key are
// still about.
func (a *Authority) TokenKeys() ([]crypto.PublicKey, error) {
	keys := []crypto.PublicKey{a.token.Public()}
	data, err := readOptional(a.files, "sa.pub")
	if err != nil {
		return nil, err
	}
	more, err := parsePublicKeys(data)
	if err != nil {
		return nil, fmt.Errorf("sa.pub: %w", err)
	}
	for _, k := range more {
		if !samePublic(k, keys[0]) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// ServerTLS is the configuration of a server that shows the leaf and asks for
// a client certificate, without demanding one: other credentials come in
// headers. Whoever authenticates requests verifies it.
func (a *Authority) ServerTLS(l *Leaf) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.Certificate(), nil },
	}
}

// ClientTLS is the configuration of a client that trusts the cluster's
// servers. It shows the leaf, unless that is nil.
func (a *Authority) ClientTLS(l *Leaf) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Roots()}
	if l != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return l.Certificate(), nil }
	}
	return c
}

// Run renews the authorities and all leaves before they expire, until ctx
// ends. A renewal that fails is logged and tried again at the next look.
func (a *Authority) Run(ctx context.Context) {
	for {
		wait := a.Renew()
		t := a.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C():
		}
	}
}

// Renew looks at every certificate once, renews those that are due, and
// returns how long the next look can wait.
func (a *Authority) Renew() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	next := checkEvery
	look := func(c *x509.Certificate, renew func() error, name string) {
		if due(c, now) {
			if err := renew(); err != nil {
				slog.Error("pki: a certificate could not be renewed; it is tried again", "file", name, "expires", c.NotAfter, "err", err)
			} else {
				slog.Info("pki: renewed a certificate", "file", name)
			}
		}
		if left := renewAt(c).Sub(now); left > 0 {
			next = min(next, left)
		}
	}
	for _, ca := range []*authority{&a.ca, &a.front} {
		s := ca.state.Load()
		look(s.cert, func() error {
			certs, err := parseCerts(s.bundle)
			if err != nil {
				return err
			}
			return a.renewCA(ca, certs, now)
		}, ca.file+".crt")
	}
	for _, name := range slices.Sorted(maps.Keys(a.leaves)) {
		l := a.leaves[name]
		look(l.Certificate().Leaf, func() error { return l.issue(now) }, name+".crt")
	}
	return next
}
