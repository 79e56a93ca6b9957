package identity

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/util/certificate"
	"k8s.io/utils/clock"

	"proa/pki"
)

func TestMain(m *testing.M) {
	// One of these remembers the real time, and would sleep until then.
	utilruntime.ErrorHandlers = nil
	m.Run()
}

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	a, err := pki.Open(t.TempDir(), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// access is the way of a client to the API server of an authority.
func access(t *testing.T, a *pki.Authority, spec pki.Spec) *rest.Config {
	t.Helper()
	l, err := a.Leaf(spec)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := l.PEM()
	return &rest.Config{Host: "https://127.0.0.1:1", TLSClientConfig: rest.TLSClientConfig{CAData: a.CA(), CertData: cert, KeyData: key}}
}

// cluster approves and signs what nodes ask for, each certificate for life.
type cluster struct {
	t         *testing.T
	authority *pki.Authority
	life      time.Duration
	asked     atomic.Int32
	refuse    atomic.Bool
}

func (c *cluster) client(*rest.Config) (kubernetes.Interface, error) {
	client := fake.NewClientset()
	client.PrependReactor("create", "certificatesigningrequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
		c.asked.Add(1)
		if c.refuse.Load() {
			return true, nil, errors.New("connection refused")
		}
		c.issue(a.(clienttesting.CreateAction).GetObject().(*certificatesv1.CertificateSigningRequest))
		return false, nil, nil
	})
	return client, nil
}

func (c *cluster) issue(r *certificatesv1.CertificateSigningRequest) {
	if r.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName || !slices.Equal(r.Spec.Usages, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}) {
		c.t.Errorf("asked for %s %v", r.Spec.SignerName, r.Spec.Usages)
	}
	block, _ := pem.Decode(r.Spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		c.t.Error(err)
		return
	}
	ca, key := c.authority.Signer()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1000 + int64(c.asked.Load())), Subject: request.Subject, NotBefore: time.Now(), NotAfter: time.Now().Add(c.life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, request.PublicKey, key)
	if err != nil {
		c.t.Error(err)
		return
	}
	r.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: "True"}}
}

// A certificate is replaced when 70 to 90 % of its life are over, again and again,
// and however long the API server is away.
func TestRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := authority(t)
		dir := t.TempDir()
		store, err := certificate.NewFileStore("kubelet-client", dir, dir, "", "")
		if err != nil {
			t.Fatal(err)
		}
		given := access(t, a, pki.Node("n"))
		c := &cluster{t: t, authority: a, life: 100 * time.Hour}
		i, err := open(Config{Access: given, Dir: dir}, store, c.client)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- i.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			time.Sleep(c.life) // client-go's loop sees that it is to end when it wakes up
		}()
		for round := range 3 {
			was := i.manager.Current()
			life := was.Leaf.NotAfter.Sub(was.Leaf.NotBefore)
			time.Sleep(time.Until(was.Leaf.NotBefore.Add(life * 69 / 100)))
			synctest.Wait()
			if i.manager.Current() != was {
				t.Errorf("round %d: replaced before 70 %% of its life", round)
			}
			if round == 1 { // the API server is away for most of the time that is left
				c.refuse.Store(true)
				time.Sleep(time.Until(was.Leaf.NotBefore.Add(life * 95 / 100)))
				c.refuse.Store(false)
				time.Sleep(2 * time.Minute)
			} else {
				time.Sleep(time.Until(was.Leaf.NotBefore.Add(life * 91 / 100)))
			}
			synctest.Wait()
			is := i.manager.Current()
			if is == was || is.Leaf.Subject.CommonName != "system:node:n" || !slices.Equal(is.Leaf.Subject.Organization, []string{"system:nodes"}) {
				t.Fatalf("round %d: the certificate is that of %v", round, is.Leaf.Subject)
			}
		}
		// The next start finds the newest.
		again, err := Open(Config{Access: given, Dir: dir})
		if err != nil || again.manager.Current().Leaf.SerialNumber.Cmp(i.manager.Current().Leaf.SerialNumber) != 0 {
			t.Errorf("the next start has another: %v", err)
		}
	})
}

// A certificate that was put into the kubeconfig later counts.
func TestGivenAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := authority(t), authority(t)
	for _, a := range []*pki.Authority{first, second} {
		c := access(t, a, pki.Node("n"))
		i, err := Open(Config{Access: c, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		given, err := tls.X509KeyPair(c.CertData, c.KeyData)
		if err != nil || !i.manager.Current().Leaf.Equal(given.Leaf) {
			t.Errorf("another certificate than the given one: %v", err)
		}
	}
}

func TestNotANode(t *testing.T) {
	t.Parallel()
	a := authority(t)
	for name, c := range map[string]*rest.Config{
		"a token": {Host: "https://127.0.0.1:1", BearerToken: "x"}, "the operator": access(t, a, pki.Admin()),
	} {
		if _, err := Open(Config{Access: c, Dir: t.TempDir()}); !errors.Is(err, ErrNotANode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is under way goes on when the certificate is replaced, and what begins
// then goes by the new one.
func TestReplacementDropsNothing(t *testing.T) {
	t.Parallel()
	a := authority(t)
	serving, err := a.Leaf(pki.APIServer("10.43.0.1", "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	more := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := r.TLS.PeerCertificates[0].Subject.CommonName
		fmt.Fprintln(w, who)
		if r.URL.Path == "/watch" {
			w.(http.Flusher).Flush()
			<-more
			fmt.Fprintln(w, who)
		}
	}))
	s.TLS = a.ServerTLS(serving)
	s.TLS.ClientAuth = tls.RequireAnyClientCert
	s.TLS.Certificates = []tls.Certificate{*serving.Certificate()} // httptest has one of its own else
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	certOf := func(name string) *tls.Certificate {
		l, err := a.Leaf(pki.Node(name))
		if err != nil {
			t.Fatal(err)
		}
		return l.Certificate()
	}
	var current atomic.Pointer[tls.Certificate]
	current.Store(certOf("old"))
	tr, err := newTransport(access(t, a, pki.Node("old")), current.Load)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	get := func(path string) *http.Response {
		resp, err := client.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("%s: %s", path, resp.Proto)
		}
		return resp
	}
	watch := get("/watch")
	defer watch.Body.Close()
	lines := bufio.NewScanner(watch.Body)
	if !lines.Scan() || lines.Text() != "system:node:old" {
		t.Fatalf("%q %v", lines.Text(), lines.Err())
	}
	current.Store(certOf("new"))
	resp := get("/")
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || strings.TrimSpace(string(b)) != "system:node:new" {
		t.Errorf("a request after the replacement is by %q: %v", b, err)
	}
	// An expired certificate is no reason to forget it.
	current.Store(nil)
	get("/").Body.Close()
	close(more)
	if !lines.Scan() || lines.Text() != "system:node:old" {
		t.Errorf("the watch ended: %v", lines.Err())
	}
}
