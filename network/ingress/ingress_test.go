package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

const node = "n1"

// run serves on free ports, which are written on the node.
func run(t *testing.T, api kubernetes.Interface, c Config) *record.FakeRecorder {
	t.Helper()
	events := record.NewFakeRecorder(100)
	c.Informers, c.Client, c.Events, c.Node = informers.NewSharedInformerFactory(api, 0), api, events, node
	c.Address, c.Log = "127.0.0.1", slog.New(slog.DiscardHandler)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return events
}

// ports are those that the node says are open.
func ports(t *testing.T, api kubernetes.Interface, count int) []string {
	t.Helper()
	var open []string
	controllertest.Until(t, func() string {
		n, err := api.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if open = strings.FieldsFunc(n.Annotations[Announcement], func(r rune) bool { return r == ',' }); len(open) != count {
			return fmt.Sprintf("the node has %v open", open)
		}
		return ""
	})
	return open
}

// fetch asks for a host on a port, in TLS where the scheme is https.
func fetch(t *testing.T, scheme, port, host string) string {
	t.Helper()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{ServerName: host, InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://127.0.0.1:"+port+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = host
	r, err := client.Do(q)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	name := ""
	if r.TLS != nil {
		name = " " + strings.Join(r.TLS.PeerCertificates[0].DNSNames, " ")
	}
	return fmt.Sprintf("%d %s%s", r.StatusCode, strings.TrimSpace(string(body)), name)
}

// own is an address of this machine that an endpoint may have.
func own(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// TestIngress takes an Ingress from its creation to its end, through the API.
func TestIngress(t *testing.T) {
	t.Parallel()
	at := own(t)
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.Host) })}
	go backend.Serve(l) //nolint:errcheck // ends with its listener
	t.Cleanup(func() { backend.Close() })
	_, number, _ := net.SplitHostPort(l.Addr().String())
	port, _ := strconv.Atoi(number)

	env := apitest.Start(t)
	api, ctx := env.Admin, t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(api.CoreV1().Nodes().Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Annotations: map[string]string{Announcement: "1"}}}, metav1.CreateOptions{}))
	events := run(t, api, Config{HTTP: 0, HTTPS: 0})
	ports(t, api, 0) // what the node said before it was stopped is no longer so

	must(api.NetworkingV1().IngressClasses().Create(ctx, &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: Class}, Spec: networkingv1.IngressClassSpec{Controller: Controller}}, metav1.CreateOptions{}))
	in := made(t, `
metadata: {name: web}
spec:
  ingressClassName: proa
  tls: [{hosts: [safe.example], secretName: safe}]
  rules:
  - {host: plain.example, http: &web {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
  - {host: safe.example, http: *web}
`)[0]
	in.UID = ""
	must(api.NetworkingV1().Ingresses("default").Create(ctx, in, metav1.CreateOptions{}))
	open := ports(t, api, 2)
	is := func(scheme, port, host, want string) {
		t.Helper()
		controllertest.Until(t, func() string {
			if got := fetch(t, scheme, port, host); got != want {
				return fmt.Sprintf("%s://%s: %s, want %s", scheme, host, got, want)
			}
			return ""
		})
	}
	is("http", open[0], "plain.example", "503 Service Unavailable")
	is("https", open[1], "safe.example", "503 Service Unavailable ingress.local")
	controllertest.Until(t, func() string {
		select {
		case e := <-events.Events:
			if !strings.Contains(e, "Secret safe: it is not there") || !strings.Contains(e, `there is no service "web"`) {
				t.Errorf("the event says %q", e)
			}
			return ""
		default:
			return "there is no event about what is wrong"
		}
	})

	certificate, key, err := cert.GenerateSelfSignedCertKey("safe.example", nil, nil)
	must(nil, err)
	must(api.CoreV1().Secrets("default").Create(ctx, &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "safe"}, Type: v1.SecretTypeTLS,
		Data: map[string][]byte{v1.TLSCertKey: certificate, v1.TLSPrivateKeyKey: key}}, metav1.CreateOptions{}))
	must(api.CoreV1().Services("default").Create(ctx, &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1.ServiceSpec{Ports: []v1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{}))
	slice, err := api.DiscoveryV1().EndpointSlices("default").Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{at}}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To(int32(port))}}}, metav1.CreateOptions{})
	must(nil, err)
	is("http", open[0], "plain.example", "200 hello plain.example")
	is("http", open[0], "safe.example", "308 Permanent Redirect")
	is("https", open[1], "safe.example", "200 hello safe.example safe.example")
	is("https", open[1], "plain.example", "200 hello plain.example ingress.local")
	is("http", open[0], "else.example", "404 Not Found")

	slice.Endpoints = nil
	must(api.DiscoveryV1().EndpointSlices("default").Update(ctx, slice, metav1.UpdateOptions{}))
	is("http", open[0], "plain.example", "503 Service Unavailable")

	// What the node says of itself is put right.
	must(api.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, []byte(`{"metadata":{"annotations":{"proa.dev/ingress":null}}}`), metav1.PatchOptions{}))
	ports(t, api, 2)

	must(nil, api.NetworkingV1().Ingresses("default").Delete(ctx, "web", metav1.DeleteOptions{}))
	ports(t, api, 0)
	for _, p := range open {
		if c, err := net.Dial("tcp", "127.0.0.1:"+p); err == nil {
			c.Close()
			t.Errorf("port %s is open without an Ingress", p)
		}
	}
}

// TestBusyPort: of two ports one is somebody else's; the other is served.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := apitest.Start(t)
	api, ctx := env.Admin, t.Context()
	for _, do := range []func() error{
		func() error {
			_, err := api.CoreV1().Nodes().Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := api.NetworkingV1().IngressClasses().Create(ctx, &networkingv1.IngressClass{
				ObjectMeta: metav1.ObjectMeta{Name: Class}, Spec: networkingv1.IngressClassSpec{Controller: Controller}}, metav1.CreateOptions{})
			return err
		},
		func() error {
			in := made(t, "metadata: {name: web}\nspec: {ingressClassName: proa, defaultBackend: {service: {name: web, port: {number: 80}}}}")[0]
			in.UID = ""
			_, err := api.NetworkingV1().Ingresses("default").Create(ctx, in, metav1.CreateOptions{})
			return err
		},
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	run(t, api, Config{HTTP: l.Addr().(*net.TCPAddr).Port, HTTPS: 0})
	open := ports(t, api, 1)
	if got := fetch(t, "https", open[0], "x"); got != "503 Service Unavailable ingress.local" {
		t.Error(got)
	}
}
