package certificates

import (
	"context"
	"crypto/x509"
	"log/slog"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/utils/clock"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/auth"
	"proa/controller"
)

// nodeUser is the node n, to the API.
var nodeUser = &auth.User{Name: "system:node:n", Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}

// startAll runs the three controllers against an API server, which allows
// renewals of client certificates and nothing else that is asked about.
func startAll(t *testing.T) *apitest.Env {
	t.Helper()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Authorizer = auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
			if a.Subresource == "nodeclient" {
				return auth.NoOpinion, "", nil
			}
			return auth.Allow, "", nil
		})
	}))
	factory := informers.NewSharedInformerFactory(env.Admin, 0)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	defs := []controller.Definition{Approving(), Signing(authority(t, time.Now().Add(1000*time.Hour))), Cleaner()}
	var all []controller.Controller
	for _, d := range defs {
		c, err := d.New(controller.Env{Client: env.Admin, Informers: factory, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	factory.Start(ctx.Done())
	for _, c := range all {
		go func() { done <- c.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range all {
			<-done
		}
		factory.Shutdown()
	})
	return env
}

// create asks as the node.
func create(t *testing.T, env *apitest.Env, name, signer string, c *x509.CertificateRequest, usages ...certificatesv1.KeyUsage) {
	t.Helper()
	r := asked(t, signer, c, usages...)
	r.Name = name
	if _, err := env.Clients(nodeUser).CertificatesV1().CertificateSigningRequests().Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// follow waits until the request is as wanted.
func follow(t *testing.T, env *apitest.Env, name string, want func(*request) bool) *request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w, err := env.Admin.CertificatesV1().CertificateSigningRequests().Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if r, ok := e.Object.(*request); ok && want(r) {
			return r
		}
	}
	t.Fatalf("request %s does not become as wanted", name)
	return nil
}

func issued(r *request) bool { return len(r.Status.Certificate) > 0 }

// A node asks for its serving certificate before it shows its address, and gets
// it when it does; it renews its client certificate.
func TestNodeCertificates(t *testing.T) {
	t.Parallel()
	env := startAll(t)
	create(t, env, "serving", certificatesv1.KubeletServingSignerName, nodeRequest(serving), digital, server)
	create(t, env, "client", certificatesv1.KubeAPIServerClientKubeletSignerName, nodeRequest(nil), digital, client)
	if cert := certificate(t, follow(t, env, "client", issued).Status.Certificate); cert.Subject.CommonName != "system:node:n" {
		t.Errorf("issued to %s", cert.Subject)
	}
	n, err := env.Admin.CoreV1().Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := env.Admin.CertificatesV1().CertificateSigningRequests().Get(t.Context(), "serving", metav1.GetOptions{})
	if err != nil || decided(r) {
		t.Fatalf("approved for an address that the node does not show: %v %v", r.Status, err)
	}
	n.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "192.0.2.1"}}
	if _, err := env.Admin.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if cert := certificate(t, follow(t, env, "serving", issued).Status.Certificate); cert.VerifyHostname("192.0.2.1") != nil {
		t.Errorf("issued for %v", cert.IPAddresses)
	}
}

// What a person approves outside of the signer's rules fails, and says why.
func TestSigningRefuses(t *testing.T) {
	t.Parallel()
	env := startAll(t)
	create(t, env, "bad", certificatesv1.KubeletServingSignerName, nodeRequest(serving), digital, server, client)
	requests := env.Admin.CertificatesV1().CertificateSigningRequests()
	r, err := requests.Get(t.Context(), "bad", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Status.Conditions = append(r.Status.Conditions, conditionOf(certificatesv1.CertificateApproved, "ByHand", ""))
	if _, err := requests.UpdateApproval(t.Context(), "bad", r, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r = follow(t, env, "bad", func(r *request) bool { return condition(r, certificatesv1.CertificateFailed) != nil })
	if c := condition(r, certificatesv1.CertificateFailed); c.Reason != "SignerValidationFailure" || issued(r) {
		t.Errorf("got %+v", r.Status)
	}
}
