package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"proa/apiserver/apitest"
	"proa/store"
	"proa/store/memory"
)

// stream opens a watch and returns its lines.
func stream(t *testing.T, env *apitest.Env, path, accept string) *bufio.Scanner {
	t.Helper()
	c, err := restclient.TransportFor(env.Loopback(apitest.AdminUser))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://local"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, 1<<20)
	return s
}

// expect reads the next event and looks for texts in it.
func expect(t *testing.T, s *bufio.Scanner, texts ...string) {
	t.Helper()
	if !s.Scan() {
		t.Fatalf("the watch has ended: %v", s.Err())
	}
	for _, text := range texts {
		if !strings.Contains(s.Text(), text) {
			t.Errorf("%q is not in %s", text, s.Text())
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 2)
	s := stream(t, env, cms+"?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "")
	expect(t, s, `{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a0"`)
	expect(t, s, `"name":"a1"`)
	expect(t, s, `"type":"BOOKMARK"`, `"annotations":{"k8s.io/initial-events-end":"true"}`)
	want(t, env, call{method: "PATCH", path: cms + "/a0", contentType: mergeType, body: `{"data":{"k":"w"}}`}, 200)
	expect(t, s, `"type":"MODIFIED"`, `"k":"w"`)
	want(t, env, call{method: "DELETE", path: cms + "/a1"}, 200)
	expect(t, s, `"type":"DELETED"`, `"name":"a1"`)
}

// An object that begins or ceases to be selected is added or deleted for those
// who watch the selection.
func TestWatchSelection(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 2)
	s := stream(t, env, cms+"?watch=1&labelSelector=n%3D0", "")
	expect(t, s, `"ADDED"`, `"a0"`)
	label := func(name, n string) {
		want(t, env, call{method: "PATCH", path: cms + "/" + name, contentType: mergeType, body: `{"metadata":{"labels":{"n":"` + n + `"}}}`}, 200)
	}
	label("a1", "0")
	expect(t, s, `"ADDED"`, `"a1"`)
	label("a0", "1")
	expect(t, s, `"DELETED"`, `"a0"`)
}

func TestWatchTable(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 2)
	s := stream(t, env, cms+"?watch=1", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	expect(t, s, `{"type":"ADDED","object":{"kind":"Table"`, `"columnDefinitions":[{"name":"Name"`, `"cells":["a0"`)
	expect(t, s, `"columnDefinitions":null`, `"cells":["a1"`)
}

func TestWatchExpired(t *testing.T) {
	t.Parallel()
	// What the store has forgotten before the server began, nobody can know.
	st := memory.New(memory.Options{})
	t.Cleanup(func() { _ = st.Close() })
	var last store.KV
	for _, key := range []string{"/earlier/a", "/earlier/b", "/earlier/c"} {
		var err error
		if last, err = st.Create(t.Context(), key, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Compact(t.Context(), last.ModRevision); err != nil {
		t.Fatal(err)
	}
	env := apitest.Start(t, apitest.WithStore(st))
	fill(t, env, 1)
	s := stream(t, env, "/api/v1/namespaces?watch=1&resourceVersion=1", "")
	expect(t, s, `{"type":"ERROR","object":{"kind":"Status"`, `"reason":"Expired"`, `"code":410`)
}

func TestWatchClients(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	asProtobuf := env.Config(apitest.AdminUser)
	asProtobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf"
	for name, cfg := range map[string]*restclient.Config{
		"protobuf": asProtobuf, "json": env.Config(apitest.AdminUser), "local": env.Loopback(apitest.AdminUser),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := kubernetes.NewForConfigOrDie(cfg)
			cms := c.CoreV1().ConfigMaps("default")
			w, err := cms.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			if _, err := cms.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if ev := <-w.ResultChan(); ev.Type != watch.Added || ev.Object.(*corev1.ConfigMap).Name != name {
				t.Errorf("%+v", ev)
			}
			if err := cms.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if ev := <-w.ResultChan(); ev.Type != watch.Deleted || ev.Object.(*corev1.ConfigMap).ResourceVersion == "" {
				t.Errorf("%+v", ev)
			}
		})
	}
}

func TestWatchTimeout(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	s := stream(t, env, cms+"?watch=1&timeoutSeconds=1", "")
	if s.Scan() {
		t.Errorf("%s", s.Text())
	}
}

func TestWatchEndsWhenDraining(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	s := stream(t, env, cms+"?watch=1", "")
	env.Server.Drain()
	if s.Scan() {
		t.Errorf("%s", s.Text())
	}
	want(t, env, call{method: "GET", path: "/readyz"}, 500, "[-]shutdown failed")
	want(t, env, call{method: "GET", path: "/livez"}, 200)
}

func TestWatchWebSocket(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 1)
	tc, err := restclient.TLSConfigFor(env.Config(apitest.AdminUser))
	if err != nil {
		t.Fatal(err)
	}
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: tc.RootCAs, Certificates: tc.Certificates, GetClientCertificate: tc.GetClientCertificate}}
	conn, resp, err := d.DialContext(t.Context(), strings.Replace(env.URL(), "https", "wss", 1)+cms+"?watch=1", nil)
	if err != nil {
		t.Fatalf("%v %v", err, resp)
	}
	defer conn.Close()
	_, b, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	var ev struct {
		Type   string
		Object corev1.ConfigMap
	}
	if err := json.Unmarshal(b, &ev); err != nil || ev.Type != "ADDED" || ev.Object.Name != "a0" {
		t.Errorf("%s %v", b, err)
	}
}

func TestCancelledClientIsForgotten(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := env.Admin.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	if err == nil || apierrors.ReasonForError(err) == metav1.StatusReasonInternalError {
		t.Errorf("%v", err)
	}
}
