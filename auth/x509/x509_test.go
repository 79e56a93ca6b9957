package x509

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"proa/pki"
)

func request(certs ...*x509.Certificate) *http.Request {
	return &http.Request{TLS: &tls.ConnectionState{PeerCertificates: certs}}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	c := clocktesting.NewFakeClock(time.Now())
	ours, err := pki.Open(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := pki.Open(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	cert := func(a *pki.Authority, s pki.Spec) *x509.Certificate {
		l, err := a.Leaf(s)
		if err != nil {
			t.Fatal(err)
		}
		return l.Certificate().Leaf
	}
	roots := ours.Roots
	a := New(func() *x509.CertPool { return roots() }, c)
	node := cert(ours, pki.Node("n1"))

	if u, err := a.Authenticate(&http.Request{}); u != nil || err != nil {
		t.Errorf("no TLS: %v %v", u, err)
	}
	if u, err := a.Authenticate(request()); u != nil || err != nil {
		t.Errorf("no certificate: %v %v", u, err)
	}
	u, err := a.Authenticate(request(node))
	if err != nil || u.Name != "system:node:n1" || !slices.Equal(u.Groups, []string{"system:nodes", "system:authenticated"}) {
		t.Fatalf("node: %+v %v", u, err)
	}
	if id := u.Extra[CredentialID]; len(id) != 1 || len(id[0]) != len("X509SHA256=")+64 {
		t.Errorf("credential id %q", id)
	}
	if again, _ := a.Authenticate(request(node)); again != u {
		t.Error("verified again")
	}
	if u, err := a.Authenticate(request(cert(theirs, pki.Admin()))); u != nil || err == nil {
		t.Errorf("another authority's: %v %v", u, err)
	}
	if u, err := a.Authenticate(request(cert(ours, pki.APIServer("")))); u != nil || err == nil {
		t.Errorf("a server's: %v %v", u, err)
	}
	// A cached verdict ends with the certificate, and with the authorities.
	c.Step(400 * 24 * time.Hour)
	if u, err := a.Authenticate(request(node)); u != nil || err == nil {
		t.Errorf("expired: %v %v", u, err)
	}
	fresh := cert(ours, pki.Scheduler())
	c.SetTime(fresh.NotBefore.Add(time.Hour))
	if _, err := a.Authenticate(request(fresh)); err != nil {
		t.Fatal(err)
	}
	roots = theirs.Roots
	if u, err := a.Authenticate(request(fresh)); u != nil || err == nil {
		t.Errorf("authority withdrawn: %v %v", u, err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	c := clocktesting.NewFakeClock(time.Now())
	p, err := pki.Open(b.TempDir(), c)
	if err != nil {
		b.Fatal(err)
	}
	l, err := p.Leaf(pki.Admin())
	if err != nil {
		b.Fatal(err)
	}
	a, r := New(p.Roots, c), request(l.Certificate().Leaf)
	b.ReportAllocs()
	for b.Loop() {
		if u, _ := a.Authenticate(r); u == nil {
			b.Fatal("unknown")
		}
	}
}
