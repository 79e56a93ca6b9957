package certificates

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// nodeRequest is what a node called n asks for, as changed by f.
func nodeRequest(f func(*x509.CertificateRequest)) *x509.CertificateRequest {
	c := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:n", Organization: []string{"system:nodes"}}}
	if f != nil {
		f(c)
	}
	return c
}

func serving(c *x509.CertificateRequest) {
	c.DNSNames, c.IPAddresses = []string{"n"}, []net.IP{net.ParseIP("192.0.2.1")}
}

// asked is a request by node n to the API.
func asked(t *testing.T, signer string, c *x509.CertificateRequest, usages ...certificatesv1.KeyUsage) *request {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, c, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return &request{
		ObjectMeta: metav1.ObjectMeta{Name: "r", CreationTimestamp: metav1.NewTime(start)},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: signer, Usages: usages, Username: "system:node:n", Groups: []string{"system:nodes"},
		},
	}
}

const (
	digital  = certificatesv1.UsageDigitalSignature
	encipher = certificatesv1.UsageKeyEncipherment
	client   = certificatesv1.UsageClientAuth
	server   = certificatesv1.UsageServerAuth
)

type usageList = []certificatesv1.KeyUsage

func TestSignerRules(t *testing.T) {
	t.Parallel()
	clientSigner, kubelet, servingSigner := certificatesv1.KubeAPIServerClientSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	for _, c := range []struct {
		name, signer string
		change       func(*x509.CertificateRequest)
		usages       usageList
		want         string // "" is allowed
	}{
		{"client", clientSigner, nil, usageList{client}, ""},
		{"client that also serves", clientSigner, nil, usageList{client, server}, "invalid usage for client certificate: server auth"},
		{"client that is none", clientSigner, nil, usageList{digital}, "missing required usage for client certificate: client auth"},
		{"node", kubelet, nil, usageList{digital, client}, ""},
		{"node with RSA", kubelet, nil, usageList{digital, encipher, client}, ""},
		{"node without signature", kubelet, nil, usageList{client}, "usages did not match"},
		{"node that serves", kubelet, nil, usageList{digital, client, server}, "usages did not match"},
		{"node with a name", kubelet, func(c *x509.CertificateRequest) { c.DNSNames = []string{"n"} }, usageList{digital, client}, "DNS subjectAltNames are not allowed"},
		{"node with an address", kubelet, func(c *x509.CertificateRequest) { c.IPAddresses = []net.IP{{1, 2, 3, 4}} }, usageList{digital, client}, "IP subjectAltNames are not allowed"},
		{"node of two groups", kubelet, func(c *x509.CertificateRequest) { c.Subject.Organization = []string{"system:nodes", "system:masters"} }, usageList{digital, client}, "subject organization is not system:nodes"},
		{"no node", kubelet, func(c *x509.CertificateRequest) { c.Subject.CommonName = "admin" }, usageList{digital, client}, "subject common name does not begin with system:node:"},
		{"serving", servingSigner, serving, usageList{digital, server}, ""},
		{"serving nothing", servingSigner, nil, usageList{digital, server}, "DNS or IP subjectAltName is required"},
		{"serving that asks as a client", servingSigner, serving, usageList{digital, server, client}, "usages did not match"},
		{"serving with mail", servingSigner, func(c *x509.CertificateRequest) { serving(c); c.EmailAddresses = []string{"a@b"} }, usageList{digital, server}, "Email subjectAltNames are not allowed"},
		{"serving with URI", servingSigner, func(c *x509.CertificateRequest) { serving(c); c.URIs = []*url.URL{{Scheme: "spiffe"}} }, usageList{digital, server}, "URI subjectAltNames are not allowed"},
		{"legacy", legacyUnknown, nil, usageList{certificatesv1.UsageCodeSigning}, ""},
	} {
		err := checks[c.signer](nodeRequest(c.change), c.usages)
		if got := errText(err); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRecognize(t *testing.T) {
	t.Parallel()
	kubelet, servingSigner := certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	for _, c := range []struct {
		name   string
		signer string
		usages usageList
		make   func(*x509.CertificateRequest)
		asks   func(*request)
		want   []kind
	}{
		{"renewal", kubelet, usageList{digital, client}, nil, nil, []kind{selfNodeClient, nodeClient}},
		{"another's", kubelet, usageList{digital, client}, nil, func(r *request) { r.Spec.Username = "system:bootstrap:abc" }, []kind{nodeClient}},
		{"outside of the rules", kubelet, usageList{client}, nil, nil, nil},
		{"serving", servingSigner, usageList{digital, server}, serving, nil, []kind{nodeServing}},
		{"serving as another", servingSigner, usageList{digital, server}, serving, func(r *request) { r.Spec.Username = "system:node:m" }, nil},
		{"serving by one that is no node", servingSigner, usageList{digital, server}, serving, func(r *request) { r.Spec.Groups = nil }, nil},
		{"any client", certificatesv1.KubeAPIServerClientSignerName, usageList{client}, nil, nil, nil},
		{"a foreign signer", "example.com/a", usageList{digital, client}, nil, nil, nil},
	} {
		x := nodeRequest(c.make)
		r := asked(t, c.signer, x, c.usages...)
		if c.asks != nil {
			c.asks(r)
		}
		if got := recognize(r, x); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func node(name string, addresses ...string) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: a})
	}
	// A node says by itself what its names are, so they do not count.
	n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: "kubernetes"})
	return n
}

func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	own := node("n", "192.0.2.1", "10.43.0.1", "127.0.0.1", "2001:db8::1")
	for _, c := range []struct {
		name   string
		names  []string
		ips    []string
		others []*v1.Node
		want   bool
	}{
		{"name and address", []string{"n"}, []string{"192.0.2.1"}, nil, true},
		{"two families", []string{"n"}, []string{"192.0.2.1", "2001:db8::1"}, nil, true},
		{"itself among all nodes", nil, []string{"192.0.2.1"}, []*v1.Node{own}, true},
		{"another's name", []string{"m"}, nil, nil, false},
		{"a name of the API server that it calls its own", []string{"kubernetes"}, nil, nil, false},
		{"an address that it does not show", nil, []string{"192.0.2.2"}, nil, false},
		{"an address that another shows", nil, []string{"192.0.2.1"}, []*v1.Node{own, node("m", "192.0.2.1")}, false},
		{"the address of a service", nil, []string{"10.43.0.1"}, nil, false},
		{"loopback", nil, []string{"127.0.0.1"}, nil, false},
	} {
		x := nodeRequest(func(r *x509.CertificateRequest) {
			r.DNSNames = c.names
			for _, ip := range c.ips {
				r.IPAddresses = append(r.IPAddresses, net.ParseIP(ip))
			}
		})
		if got := ownAddresses(x, own, c.others, []string{"10.43.0.1", "None"}); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

// authority is a certificate authority of a test.
func authority(t *testing.T, until time.Time) Signer {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: start.Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*x509.Certificate, crypto.Signer) { return cert, key }
}

func TestIssue(t *testing.T) {
	t.Parallel()
	year := start.Add(365 * 24 * time.Hour)
	for _, c := range []struct {
		name    string
		seconds int32
		ca      time.Time
		until   time.Time
		err     string
	}{
		{"a year", 0, year.Add(time.Hour), year.Add(-backdate), ""},
		{"longer than allowed", 1 << 30, year.Add(time.Hour), year.Add(-backdate), ""},
		{"an hour, whole", 3600, year, start.Add(time.Hour), ""},
		{"shorter than allowed", 1, year, start.Add(10 * time.Minute), ""},
		{"not longer than the authority", 0, start.Add(time.Hour), start.Add(time.Hour), ""},
		{"an authority that is over", 0, start, time.Time{}, "refusing to sign: the certificate authority has expired"},
	} {
		r := asked(t, certificatesv1.KubeletServingSignerName, nodeRequest(serving), digital, server)
		if c.seconds > 0 {
			r.Spec.ExpirationSeconds = &c.seconds
		}
		x, err := parse(r)
		if err != nil {
			t.Fatal(err)
		}
		signer := authority(t, c.ca)
		data, err := issue(r, x, signer, start)
		if err != nil || c.err != "" {
			if c.err == "" || !strings.HasPrefix(errText(err), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		cert := certificate(t, data)
		if !cert.NotAfter.Equal(c.until) || !cert.NotBefore.Equal(start.Add(-backdate)) {
			t.Errorf("%s: from %s until %s, want %s", c.name, cert.NotBefore, cert.NotAfter, c.until)
		}
		ca, _ := signer()
		if err := cert.CheckSignatureFrom(ca); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if cert.IsCA || cert.VerifyHostname("n") != nil || cert.VerifyHostname("192.0.2.1") != nil || !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
			t.Errorf("%s: %+v", c.name, cert)
		}
	}
}

func certificate(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no certificate: %q", data)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestUsages(t *testing.T) {
	t.Parallel()
	use, extended, err := usages(usageList{certificatesv1.UsageSigning, encipher, certificatesv1.UsageSMIME, certificatesv1.UsageEmailProtection})
	if err != nil || use != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment || !slices.Equal(extended, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}) {
		t.Errorf("%v %v %v", use, extended, err)
	}
	for _, bad := range []usageList{nil, {"flying"}} {
		if _, _, err := usages(bad); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestOver(t *testing.T) {
	t.Parallel()
	later := metav1.NewTime(start.Add(3 * time.Hour))
	with := func(t2 certificatesv1.RequestConditionType) certificatesv1.CertificateSigningRequestCondition {
		return certificatesv1.CertificateSigningRequestCondition{Type: t2, LastUpdateTime: later}
	}
	signed := func(seconds int32) []byte {
		r := asked(t, certificatesv1.KubeletServingSignerName, nodeRequest(serving), digital, server)
		r.Spec.ExpirationSeconds = &seconds
		x, err := parse(r)
		if err != nil {
			t.Fatal(err)
		}
		data, err := issue(r, x, authority(t, start.Add(1000*time.Hour)), later.Time)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, c := range []struct {
		name   string
		status certificatesv1.CertificateSigningRequestStatus
		want   time.Duration
	}{
		{"pending", certificatesv1.CertificateSigningRequestStatus{}, keepPending},
		{"denied", certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{with(certificatesv1.CertificateDenied)}}, 4 * time.Hour},
		{"failed", certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{with(certificatesv1.CertificateApproved), with(certificatesv1.CertificateFailed)}}, 4 * time.Hour},
		{"approved", certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{with(certificatesv1.CertificateApproved)}}, keepPending},
		{"issued", certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{with(certificatesv1.CertificateApproved)}, Certificate: signed(7200)}, 4 * time.Hour},
		{"expired", certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{with(certificatesv1.CertificateApproved)}, Certificate: signed(600)}, 3*time.Hour + 10*time.Minute},
	} {
		r := &request{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(start)}, Status: c.status}
		if got := over(r).Sub(start); got != c.want {
			t.Errorf("%s: over after %s, want %s", c.name, got, c.want)
		}
	}
}
