package aggregator_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"

	"proa/apiserver"
	"proa/apiserver/aggregator"
	"proa/apiserver/apitest"
	"proa/auth"
	"proa/auth/source"
	"proa/resource/apiregistration"
	"proa/resource/builtin"
)

// other is an API server that serves ships.example.com/v1alpha1.
type other struct {
	*httptest.Server
	ca    []byte
	down  atomic.Bool
	seen  chan http.Header // of requests for boats
	proof chan bool        // whether they came with a certificate
}

func newOther(t *testing.T) *other {
	t.Helper()
	o := &other{seen: make(chan http.Header, 100), proof: make(chan bool, 100)}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("ships.default.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/ships.example.com/v1alpha1", func(w http.ResponseWriter, r *http.Request) {
		if o.down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(metav1.APIResourceList{GroupVersion: "ships.example.com/v1alpha1", APIResources: []metav1.APIResource{
			{Name: "boats", SingularName: "boat", Namespaced: true, Kind: "Boat", Verbs: metav1.Verbs{"get", "list", "watch"}, ShortNames: []string{"bt"}},
			{Name: "boats/status", Namespaced: true, Kind: "Boat", Verbs: metav1.Verbs{"get"}},
		}})
	})
	mux.HandleFunc("GET /openapi/v3", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"paths":{"apis/ships.example.com/v1alpha1":{"serverRelativeURL":"/openapi/v3/apis/ships.example.com/v1alpha1?hash=ABC"},"apis/apps/v1":{"serverRelativeURL":"/evil"}}}`)
	})
	mux.HandleFunc("GET /openapi/v3/apis/ships.example.com/v1alpha1", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"openapi":"3.0.0","info":{"title":"ships"}}`)
	})
	mux.HandleFunc("/apis/ships.example.com/v1alpha1/namespaces/default/boats", func(w http.ResponseWriter, r *http.Request) {
		o.seen <- r.Header.Clone()
		o.proof <- len(r.TLS.PeerCertificates) == 1 && r.TLS.PeerCertificates[0].Subject.CommonName == "front-proxy-client"
		if r.URL.Query().Get("watch") != "" {
			for i := range 3 {
				fmt.Fprintf(w, "event %d\n", i)
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"kind":"BoatList","apiVersion":"ships.example.com/v1alpha1","items":[]}`)
	})
	mux.HandleFunc("/apis/ships.example.com/v1alpha1/namespaces/default/boats/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
	})
	mux.HandleFunc("/apis/ships.example.com/v1alpha1/namespaces/default/boats/talk", func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		line, _ := buf.ReadString('\n')
		fmt.Fprintf(c, "%s says %s", r.Header.Get("X-Remote-User"), line)
	})
	o.Server = httptest.NewUnstartedServer(mux)
	o.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	o.EnableHTTP2 = true
	o.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	o.StartTLS()
	t.Cleanup(o.Close)
	o.ca = certPEM
	return o
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// start runs a server whose services all lead to one other.
func start(t *testing.T, o *other) (*apitest.Env, dynamic.ResourceInterface) {
	t.Helper()
	table := builtin.Table()
	front, err := tls.X509KeyPair(frontProxy(t))
	if err != nil {
		t.Fatal(err)
	}
	a := aggregator.New(aggregator.Config{
		Table: table, Log: slog.New(slog.DiscardHandler), Certificate: func() *tls.Certificate { return &front },
		Resolve: func(context.Context, string, string, string) (netip.AddrPort, error) {
			return netip.ParseAddrPort(o.Listener.Addr().String())
		},
	})
	env := apitest.Start(t, apitest.WithTable(table), apitest.WithConfig(func(c *apiserver.Config) {
		c.Aggregator = a
		own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"own"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(`{"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=1"}}}`))
		})
		c.Mounts = append(c.Mounts, apiserver.Mount{Prefix: "/openapi", Handler: a.OpenAPI(own)})
	}))
	a.Hub, a.Services = env.Hub, source.New(env.Hub, table.View()) // which Run needs
	client, err := dynamic.NewForConfig(env.Loopback(apitest.AdminUser))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, client) }()
	t.Cleanup(func() { cancel(); <-ended })
	return env, client.Resource(apiregistration.SchemeGroupVersion.WithResource("apiservices"))
}

func frontProxy(t *testing.T) (certPEM, keyPEM []byte) {
	t.Helper()
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("front-proxy-client", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(certPEM)
	if c, err := x509.ParseCertificate(b.Bytes); err != nil || !strings.HasPrefix(c.Subject.CommonName, "front-proxy-client") {
		t.Fatal(c, err)
	}
	return certPEM, keyPEM
}

func condition(t *testing.T, apis dynamic.ResourceInterface, name string) (status, reason string) {
	t.Helper()
	o, err := apis.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return "", ""
	}
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	if len(list) == 0 {
		return "", ""
	}
	c := list[0].(map[string]any)
	status, _ = c["status"].(string)
	reason, _ = c["reason"].(string)
	return status, reason
}

// TestAnotherServer: what another server serves is found and reached through
// this one, as the user who asks, until it does not answer any more.
func TestAnotherServer(t *testing.T) {
	t.Parallel()
	o := newOther(t)
	env, apis := start(t, o)
	ctx := t.Context()
	const name = "v1alpha1.ships.example.com"
	_, err := apis.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"group": "ships.example.com", "version": "v1alpha1", "groupPriorityMinimum": int64(2000), "versionPriority": int64(200),
			"service": map[string]any{"namespace": "default", "name": "ships"}, "caBundle": o.ca,
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		until(t, "the condition is not "+want, func() bool { _, reason := condition(t, apis, name); return reason == want })
	}
	says("ServiceNotFound")
	get := func(user *auth.User, path string) (int, string) {
		t.Helper()
		client, err := rest.HTTPClientFor(env.Config(user))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(env.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const boats = "/apis/ships.example.com/v1alpha1/namespaces/default/boats"
	if code, text := get(apitest.AdminUser, boats); code != http.StatusServiceUnavailable || !strings.Contains(text, "service unavailable") {
		t.Errorf("before there is a server: %d %s", code, text)
	}
	if _, err := env.Admin.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "ships"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	says("EndpointsNotFound")
	if _, err := env.Admin.DiscoveryV1().EndpointSlices("default").Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "ships", Labels: map[string]string{discoveryv1.LabelServiceName: "ships"}}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}, Ports: []discoveryv1.EndpointPort{{Port: ptr.To(int32(443)), Name: ptr.To("")}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	says("Passed")

	user := &auth.User{Name: "jane", UID: "7", Groups: []string{"sailors", auth.GroupAuthenticated}, Extra: map[string][]string{"example.com/deck": {"a b"}}}
	if code, text := get(user, boats); code != 200 || !strings.Contains(text, "BoatList") {
		t.Fatalf("%d %s", code, text)
	}
	h := <-o.seen
	if h.Get("X-Remote-User") != "jane" || !slices.Contains(h.Values("X-Remote-Group"), "sailors") {
		t.Errorf("the other server saw %v", h)
	}
	if h.Get("Authorization") != "" {
		t.Error("credentials of the client were passed on")
	}
	<-o.proof

	// Discovery, old and new.
	if code, text := get(apitest.AdminUser, "/apis/ships.example.com"); code != 200 || !strings.Contains(text, `"preferredVersion":{"groupVersion":"ships.example.com/v1alpha1"`) {
		t.Errorf("%d %s", code, text)
	}
	lists, err := env.Admin.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(lists, func(l *metav1.APIResourceList) bool {
		return l.GroupVersion == "ships.example.com/v1alpha1" && len(l.APIResources) == 1 && l.APIResources[0].ShortNames[0] == "bt"
	}) {
		t.Errorf("discovery has %v", lists)
	}

	// OpenAPI: its own version only.
	if _, text := get(apitest.AdminUser, "/openapi/v3"); !strings.Contains(text, `"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=1"}`) ||
		!strings.Contains(text, `"apis/ships.example.com/v1alpha1":{"serverRelativeURL":"/openapi/v3/apis/ships.example.com/v1alpha1?hash=ABC"}`) {
		t.Errorf("the index of documents is %s", text)
	}
	if code, text := get(apitest.AdminUser, "/openapi/v3/apis/ships.example.com/v1alpha1?hash=ABC"); code != 200 || !strings.Contains(text, `"title":"ships"`) {
		t.Errorf("%d %s", code, text)
	}

	// A client that knows the index of this server alone does not know it all.
	ask := func(etag string) *http.Response {
		client, err := rest.HTTPClientFor(env.Config(apitest.AdminUser))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, env.URL()+"/openapi/v3", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", etag)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	whole := ask(`"own"`)
	if whole.StatusCode != http.StatusOK {
		t.Errorf("%d for an index that has become longer", whole.StatusCode)
	}
	if resp := ask(whole.Header.Get("Etag")); resp.StatusCode != http.StatusNotModified {
		t.Errorf("%d for the index that the client has", resp.StatusCode)
	}

	// A watch comes as it goes.
	client, err := rest.HTTPClientFor(env.Config(user))
	if err != nil {
		t.Fatal(err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	req, err := http.NewRequestWithContext(watching, http.MethodGet, env.URL()+boats+"?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := make([]byte, len("event 0\nevent 1\nevent 2\n"))
	if _, err := io.ReadFull(resp.Body, events); err != nil {
		t.Errorf("%q, %v", events, err)
	}

	// A redirect is refused.
	if code, text := get(user, boats+"/away"); code != http.StatusBadGateway || !strings.Contains(text, "attempted to redirect") {
		t.Errorf("a redirect: %d %s", code, text)
	}

	// An upgrade is passed through, both ways.
	tlsConfig, err := rest.TLSConfigFor(env.Config(user))
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(env.URL(), "https://"), tlsConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s/talk HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: parrot\r\n\r\n", boats)
	talk := bufio.NewReader(conn)
	upgraded, err := http.ReadResponse(talk, nil)
	if err != nil || upgraded.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(upgraded, err)
	}
	fmt.Fprintln(conn, "ahoy")
	if answer, err := talk.ReadString('\n'); answer != "jane says ahoy\n" {
		t.Errorf("after the upgrade: %q, %v", answer, err)
	}

	// It does not answer any more, and then again. What touches its service has it
	// asked at once.
	touch := func(v string) {
		t.Helper()
		s, err := env.Admin.CoreV1().Services("default").Get(ctx, "ships", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Labels = map[string]string{"touched": v}
		if _, err := env.Admin.CoreV1().Services("default").Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	o.down.Store(true)
	touch("1")
	says("FailedDiscoveryCheck")
	if code, _ := get(user, boats); code != http.StatusServiceUnavailable {
		t.Errorf("a server that is down: %d", code)
	}
	o.down.Store(false)
	says("Passed")
	if err := apis.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the version is still served", func() bool { code, _ := get(user, boats); return code == http.StatusNotFound })
}

// TestLocals: what this server serves itself has an API service each, which
// comes back when it is deleted or changed, unless it is not the server's.
func TestLocals(t *testing.T) {
	t.Parallel()
	_, apis := start(t, newOther(t))
	ctx := t.Context()
	find := func(name string) *unstructured.Unstructured {
		o, err := apis.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return o
	}
	until(t, "there is no API service of apps", func() bool { return find("v1.apps") != nil && find("v1.") != nil })
	o := find("v1.apps")
	spec, _, _ := unstructured.NestedMap(o.Object, "spec")
	if spec["groupPriorityMinimum"] != int64(17800) || spec["versionPriority"] != int64(15) || o.GetLabels()[apiregistration.AutomanagedLabel] != "onstart" {
		t.Errorf("it is %v, %v", spec, o.GetLabels())
	}
	if status, reason := condition(t, apis, "v1.apps"); status != "True" || reason != "Local" {
		t.Errorf("it is %s, %s", status, reason)
	}
	if find("v1.apiregistration.k8s.io") != nil {
		t.Error("the group of API services has one itself")
	}
	if err := apis.Delete(ctx, "v1.apps", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it did not come back", func() bool { n := find("v1.apps"); return n != nil && n.GetUID() != o.GetUID() })
	changed := find("v1.apps")
	_ = unstructured.SetNestedField(changed.Object, int64(9), "spec", "versionPriority")
	if _, err := apis.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it was not repaired", func() bool {
		n, _, _ := unstructured.NestedInt64(find("v1.apps").Object, "spec", "versionPriority")
		return n == 15
	})
}
