package frontproxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"proa/auth"
	"proa/auth/frontproxy"
)

// authority issues certificates for clients.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.key, a.cert = issue(t, nil, "ca")
	return a
}

func issue(t *testing.T, by *authority, name string) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	} else {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, out
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	proxies, clients := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(proxies.cert)
	a := frontproxy.New(func() *x509.CertPool { return pool }, []string{"front-proxy-client"}, clock.RealClock{})
	_, proxy := issue(t, proxies, "front-proxy-client")
	_, stranger := issue(t, proxies, "somebody")
	_, client := issue(t, clients, "front-proxy-client")
	for name, c := range map[string]struct {
		cert  *x509.Certificate
		user  string
		want  *auth.User
		fails bool
	}{
		"a proxy":                        {cert: proxy, user: "jane", want: &auth.User{Name: "jane", UID: "7", Groups: []string{"a", "b"}, Extra: map[string][]string{"example.com/x": {"1", "2"}}}},
		"a proxy that says nothing":      {cert: proxy},
		"a name that is not allowed":     {cert: stranger, user: "jane", fails: true},
		"a certificate of somebody else": {cert: client, user: "jane"},
		"no certificate":                 {user: "jane"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if c.cert != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert}}
		}
		if c.user != "" {
			r.Header.Set("X-Remote-User", c.user)
			r.Header.Set("X-Remote-Uid", "7")
			r.Header["X-Remote-Group"] = []string{"a", "b"}
			r.Header["X-Remote-Extra-Example.com%2fx"] = []string{"1", "2"}
		}
		got, err := a.Authenticate(r)
		if !reflect.DeepEqual(got, c.want) || (err != nil) != c.fails {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if c.want != nil && len(r.Header) != 0 {
			t.Errorf("%s: headers are left: %v", name, r.Header)
		}
	}
}
