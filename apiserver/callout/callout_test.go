package callout

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// serve starts an HTTPS server and returns its URL and CA.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, []byte) {
	t.Helper()
	return serveAs(t, httptest.NewUnstartedServer(h))
}

func serveAs(t *testing.T, s *httptest.Server) (*httptest.Server, []byte) {
	t.Helper()
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func caller(t *testing.T) *Caller {
	c := New(nil, nil)
	t.Cleanup(c.Close)
	return c
}

func TestPost(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "" || r.Header.Get("Content-Type") != "application/json" || r.URL.Query().Get("timeout") != "3s" || r.ProtoMajor != 2 {
			t.Errorf("asked %s %v over %s", r.URL, r.Header, r.Proto)
		}
		w.Write(append([]byte(r.URL.Path+" "), b...))
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			connections.Add(1)
		}
	}
	_, ca := serveAs(t, s)
	c := caller(t)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 2900*time.Millisecond)
		got, err := c.Post(ctx, Target{URL: s.URL + "/a/b", CA: ca}, []byte(`{}`))
		cancel()
		if err != nil || string(got) != "/a/b {}" {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	if n := connections.Load(); n > 1 {
		t.Errorf("%d connections for five calls, one after another", n)
	}
}

// TestRedirectIsNotFollowed: CVE-2020-8561.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	inner, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for _, code := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		s, ca := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inner.URL, code) })
		if got, err := caller(t).Post(t.Context(), Target{URL: s.URL, CA: ca}, nil); err == nil {
			t.Errorf("%d: got %s", code, got)
		}
	}
}

// TestHostileAnswers: whatever the other side does, it costs bounded memory and
// time, and ends in an error.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			part := bytes.Repeat([]byte("x"), 1<<20)
			for range MaxAnswer>>20 + 1 {
				w.Write(part)
			}
		}, "the answer is larger than 6291456 bytes"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "context deadline exceeded"},
		"half done": {func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "context deadline exceeded"},
		"failure":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh no", http.StatusInternalServerError) }, `an error on the server ("oh no") has prevented the request from succeeding`},
		"not found": {http.NotFound, "the server could not find the requested resource"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ca := serve(t, c.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := caller(t).Post(ctx, Target{URL: s.URL, CA: ca}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			var target *TargetError
			if errors.As(err, &target) {
				t.Error("blamed on the target")
			}
		})
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("was called unverified") })
	if _, err := caller(t).Post(t.Context(), Target{URL: s.URL}, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown CA: %v", err)
	}
	var target *TargetError
	if _, err := caller(t).Post(t.Context(), Target{URL: s.URL, CA: []byte("nonsense")}, nil); !errors.As(err, &target) || !strings.Contains(err.Error(), "unable to load root certificates") {
		t.Errorf("a CA that is none: %v", err)
	}
	if _, err := caller(t).Post(t.Context(), Target{}, nil); !errors.As(err, &target) {
		t.Errorf("nowhere to call: %v", err)
	}
}

type services struct{ ready bool }

func (services) Service(context.Context, string, string) (*corev1.Service, error) {
	return &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}}}, nil
}

func (s services) EndpointSlices(context.Context, string, string) ([]*discoveryv1.EndpointSlice, error) {
	port, name := int32(8443), ""
	if !s.ready {
		return nil, nil
	}
	return []*discoveryv1.EndpointSlice{{Ports: []discoveryv1.EndpointPort{{Port: &port, Name: &name}}, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}}}, nil
}

// TestService: an endpoint is dialled, and verified under the name of the
// service.
func TestService(t *testing.T) {
	t.Parallel()
	s, ca := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Host + r.URL.Path)) })
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "10.0.0.1:8443" {
			t.Errorf("dialled %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	c := New(services{true}, dial)
	defer c.Close()
	at := Target{Service: &Service{Namespace: "n", Name: "s", Path: "/p", Port: 443}, CA: ca}
	_, err := c.Post(t.Context(), at, nil)
	if err == nil || !strings.Contains(err.Error(), "s.n.svc") {
		t.Errorf("a certificate for another name: %v", err)
	}
	c = New(services{false}, dial)
	defer c.Close()
	_, err = c.Post(t.Context(), at, nil)
	if err == nil || !strings.Contains(err.Error(), "no endpoints available for service") || apierrors.IsNotFound(err) {
		t.Errorf("no endpoints: %v", err)
	}
}

// TestOldestIsForgotten: configurations may name any number of places.
func TestOldestIsForgotten(t *testing.T) {
	t.Parallel()
	c := caller(t)
	for i := range 3 * maxClients {
		if _, err := c.client(Target{URL: "https://h/" + strings.Repeat("x", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.clients) != maxClients {
		t.Errorf("%d clients are kept", len(c.clients))
	}
}
