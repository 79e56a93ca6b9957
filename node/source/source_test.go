package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/node/pod"
	"proa/node/source"
)

// record is a sink that remembers, and can be waited for.
type record struct {
	mu     sync.Mutex
	cond   *sync.Cond
	calls  []string
	pods   map[types.UID]*v1.Pod
	synced int
}

func newRecord() *record {
	r := &record{pods: map[types.UID]*v1.Pod{}}
	r.cond = sync.NewCond(&r.mu)
	return r
}

func (r *record) note(call string, change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
	change()
	r.cond.Broadcast()
}

func (r *record) Set(p *v1.Pod) { r.note("set "+p.Name, func() { r.pods[p.UID] = p }) }
func (r *record) Remove(uid types.UID) {
	r.note("remove", func() { delete(r.pods, uid) })
}
func (r *record) Synced() { r.note("synced", func() { r.synced++ }) }

// until waits until ok holds of the names of the pods, sorted by nobody.
func (r *record) until(t *testing.T, what string, ok func(images map[string]string) bool) {
	t.Helper()
	deadline := time.AfterFunc(20*time.Second, func() { r.mu.Lock(); defer r.mu.Unlock(); r.cond.Broadcast() })
	defer deadline.Stop()
	began := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		images := map[string]string{}
		for _, p := range r.pods {
			images[p.Name] = p.Spec.Containers[0].Image
		}
		if ok(images) {
			return
		}
		if time.Since(began) > 19*time.Second {
			t.Fatalf("never %s: %v, calls %v", what, images, r.calls)
		}
		r.cond.Wait()
	}
}

func manifest(name, image string) []byte {
	return fmt.Appendf(nil, "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: [{name: c, image: %s}]}\n", name, image)
}

func quiet(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStaticIdentity(t *testing.T) {
	t.Parallel()
	prepare := func(node, origin, image string) *v1.Pod {
		s := source.Static{NodeName: node, From: source.FromFile}
		pods, err := s.Decode(manifest("web", image), origin)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Prepare(pods[0], origin); err != nil {
			t.Fatal(err)
		}
		return pods[0]
	}
	a := prepare("node1", "/a.yaml", "x")
	if a.Name != "web-node1" || a.Namespace != "default" || a.Spec.NodeName != "node1" {
		t.Errorf("name %s/%s on %s", a.Namespace, a.Name, a.Spec.NodeName)
	}
	if a.Annotations[pod.SourceAnnotation] != "file" || a.Annotations[pod.HashSourceAnnotation] != string(a.UID) || !pod.IsStatic(a) {
		t.Errorf("annotations %v", a.Annotations)
	}
	if a.Spec.RestartPolicy != v1.RestartPolicyAlways {
		t.Error("not defaulted")
	}
	if b := prepare("node1", "/a.yaml", "x"); b.UID != a.UID {
		t.Error("the same manifest gives another UID: a restart would restart the pod")
	}
	for _, b := range []*v1.Pod{prepare("node2", "/a.yaml", "x"), prepare("node1", "/b.yaml", "x"), prepare("node1", "/a.yaml", "other")} {
		if b.UID == a.UID {
			t.Error("another manifest gives the same UID")
		}
	}
}

func TestStaticRefuses(t *testing.T) {
	t.Parallel()
	s := source.Static{NodeName: "n", From: source.FromFile}
	for name, text := range map[string]string{
		"no pod":            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n",
		"no yaml":           "a: b: c",
		"no containers":     "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n",
		"no name":           "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, image: i}]}\n",
		"a bad name":        "apiVersion: v1\nkind: Pod\nmetadata: {name: X_Y}\nspec: {containers: [{name: c, image: i}]}\n",
		"a service account": "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {serviceAccountName: sa, containers: [{name: c, image: i}]}\n",
		"a secret":          "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {volumes: [{name: v, secret: {secretName: s}}], containers: [{name: c, image: i}]}\n",
		"an alias bomb":     "a: &a [x,x]\nb: &b [*a,*a]\nkind: [*b,*b]\n",
		"too much":          strings.Repeat("#", 4<<20),
	} {
		pods, err := s.Decode([]byte(text), name)
		for _, p := range pods {
			if err == nil {
				err = s.Prepare(p, name)
			}
		}
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(manifest("a", "b"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"x"}}]}`))
	f.Add([]byte("---\n---\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := source.Static{NodeName: "n", From: source.FromPush}
		pods, err := s.Decode(data, "fuzz")
		for _, p := range pods {
			if err == nil {
				err = s.Prepare(p, "fuzz")
			}
		}
	})
}

func TestFileSource(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), newRecord()
	write(t, filepath.Join(dir, "a.yaml"), manifest("a", "one"))
	write(t, filepath.Join(dir, ".hidden.yaml"), manifest("hidden", "x"))
	write(t, filepath.Join(dir, "broken.yaml"), []byte("{"))
	f := &source.File{Path: dir, Every: time.Hour, Sink: sink, Log: quiet(t), Static: source.Static{NodeName: "n", From: source.FromFile}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() { cancel(); <-done }()

	sink.until(t, "read", func(m map[string]string) bool { return len(m) == 1 && m["a-n"] == "one" && sink.synced == 1 })
	write(t, filepath.Join(dir, "b.yaml"), manifest("b", "two"))
	sink.until(t, "extended", func(m map[string]string) bool { return m["b-n"] == "two" })
	write(t, filepath.Join(dir, "a.yaml"), manifest("a", "three"))
	sink.until(t, "changed", func(m map[string]string) bool { return len(m) == 2 && m["a-n"] == "three" })
	// A manifest that breaks keeps its pod running; the one beside it goes.
	write(t, filepath.Join(dir, "a.yaml"), []byte("apiVersion: v1\nkind: Po"))
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "shrunk", func(m map[string]string) bool { return len(m) == 1 && m["a-n"] == "three" })
}

func TestURLSource(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	body := manifest("a", "one")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("X-Token") != "t" || body == nil {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	sink := newRecord()
	u := &source.URL{URL: server.URL, Header: http.Header{"X-Token": {"t"}}, Every: time.Millisecond, Sink: sink, Log: quiet(t), Static: source.Static{NodeName: "n", From: source.FromURL}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	defer func() { cancel(); <-done }()
	sink.until(t, "read", func(m map[string]string) bool { return m["a-n"] == "one" && sink.synced == 1 })
	set := func(b []byte) { mu.Lock(); defer mu.Unlock(); body = b }
	set(manifest("b", "two"))
	sink.until(t, "replaced", func(m map[string]string) bool { return len(m) == 1 && m["b-n"] == "two" })
	set(nil) // a server that fails changes nothing
	set(manifest("c", "three"))
	sink.until(t, "replaced again", func(m map[string]string) bool { return len(m) == 1 && m["c-n"] == "three" })
}

func TestPushSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func() (*source.Push, *record) {
		sink := newRecord()
		p := &source.Push{Dir: dir, Sink: sink, Log: quiet(t), Static: source.Static{NodeName: "n", From: source.FromPush}}
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
		return p, sink
	}
	call := func(p *source.Push, method, path string, body []byte) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(string(body))))
		return w
	}
	p, sink := start()
	if w := call(p, "POST", "/pods", manifest("a", "one")); w.Code != http.StatusCreated || w.Body.String() != "default/a-n\n" {
		t.Fatalf("push: %d %s", w.Code, w.Body)
	}
	uid := types.UID("")
	for u := range sink.pods {
		uid = u
	}
	if w := call(p, "POST", "/pods", []byte("{")); w.Code != http.StatusBadRequest {
		t.Errorf("nonsense: %d", w.Code)
	}

	// The agent restarts: the pod is the same one. A corrupt file is set aside.
	write(t, filepath.Join(dir, "default_bad.json"), []byte("{\x00"))
	p, sink = start()
	if len(sink.pods) != 1 || sink.pods[uid] == nil || sink.synced != 1 {
		t.Errorf("after the restart: %v", sink.calls)
	}
	if _, err := os.Stat(filepath.Join(dir, "default_bad.json.broken")); err != nil {
		t.Error(err)
	}
	call(p, "POST", "/pods", manifest("a", "two"))
	if got := strings.Join(sink.calls[len(sink.calls)-2:], ", "); got != "remove, set a-n" {
		t.Errorf("a replacement calls %s", got)
	}
	var list v1.PodList
	if err := json.Unmarshal(call(p, "GET", "/pods", nil).Body.Bytes(), &list); err != nil || len(list.Items) != 1 {
		t.Errorf("list: %v %v", list.Items, err)
	}
	if w := call(p, "DELETE", "/pods/default/a", nil); w.Code != http.StatusNoContent || len(sink.pods) != 0 {
		t.Errorf("delete: %d", w.Code)
	}
	if w := call(p, "DELETE", "/pods/default/a", nil); w.Code != http.StatusNotFound {
		t.Errorf("delete again: %d", w.Code)
	}
}
