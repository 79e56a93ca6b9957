package audit

import (
	"bytes"
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
	"testing/synctest"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"proa/auth"
)

func policy(t *testing.T, rules string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n" + rules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	p := policy(t, `
- {level: None, users: ["system:kube-proxy"], verbs: [watch], resources: [{group: "", resources: [endpoints, services]}]}
- {level: None, userGroups: ["system:nodes"], verbs: [get]}
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- {level: Metadata, resources: [{group: "", resources: [secrets, configmaps]}]}
- {level: Request, resources: [{group: "", resources: [pods/log, "pods/status"]}, {group: apps, resources: ["*/scale"]}], omitStages: [RequestReceived]}
- {level: RequestResponse, namespaces: [prod], resources: [{group: ""}]}
- {level: Metadata, resources: [{group: "", resources: ["pods/*"]}]}
- {level: Request, resources: [{group: apps, resources: [deployments], resourceNames: [web]}]}
`)
	on := func(group, resource, sub, ns, name string) *auth.Attributes {
		return &auth.Attributes{User: &auth.User{Name: "jane"}, Verb: "get", IsResource: true, Group: group, Resource: resource, Subresource: sub, Namespace: ns, Name: name}
	}
	for _, c := range []struct {
		a    *auth.Attributes
		want auditv1.Level
	}{
		{&auth.Attributes{User: &auth.User{Name: "system:kube-proxy"}, Verb: "watch", IsResource: true, Resource: "services"}, auditv1.LevelNone},
		{&auth.Attributes{User: &auth.User{Name: "n", Groups: []string{"system:nodes"}}, Verb: "get", IsResource: true, Resource: "secrets"}, auditv1.LevelNone},
		{&auth.Attributes{User: &auth.User{}, Verb: "get", Path: "/healthz/etcd"}, auditv1.LevelNone},
		{&auth.Attributes{User: &auth.User{}, Verb: "get", Path: "/version/x"}, auditv1.LevelNone},
		{on("", "secrets", "", "prod", "s"), auditv1.LevelMetadata},
		{on("", "pods", "log", "default", "p"), auditv1.LevelRequest},
		{on("apps", "deployments", "scale", "default", "d"), auditv1.LevelRequest},
		{on("", "pods", "", "prod", "p"), auditv1.LevelRequestResponse},
		{on("", "pods", "", "default", "p"), auditv1.LevelNone},
		{on("", "pods", "exec", "default", "p"), auditv1.LevelMetadata},
		{on("apps", "deployments", "", "default", "web"), auditv1.LevelRequest},
		{on("apps", "deployments", "", "default", "db"), auditv1.LevelNone},
		{on("apps", "deployments", "", "prod", "db"), auditv1.LevelNone},
	} {
		if got := p.decide(c.a).level; got != c.want {
			t.Errorf("%+v: %s, want %s", c.a, got, c.want)
		}
	}
}

func TestBadPolicies(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
	for text, want := range map[string]string{
		"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]": "it is a audit.k8s.io/v1beta1, Kind=Policy, not a audit.k8s.io/v1, Kind=Policy",
		head + "rules: []":                                                            "it has no rules",
		head + "rules: [{level: Everything}]":                                         `rules[0].level: Unsupported value: "Everything"`,
		head + "rules: [{level: None, omitStages: [Never]}]":                          `rules[0].omitStages[0]: Unsupported value: "Never"`,
		head + "rules: [{level: None, nonResourceURLs: [x]}]":                         "rules[0].nonResourceURLs[0]: Invalid value",
		head + "rules: [{level: None, colour: red}]":                                  `unknown field "colour"`,
		head + "rules: [{level: None, nonResourceURLs: [/x], namespaces: [a]}]":       "rules cannot apply to both regular resources and non-resource URLs",
		head + "rules: [{level: None, resources: [{group: '', resourceNames: [a]}]}]": "using resourceNames requires at least one resource",
	} {
		if _, err := ParsePolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

type memory struct {
	mu     sync.Mutex
	events []*auditv1.Event
}

func (m *memory) Take(e *auditv1.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
}
func (*memory) Close() {}

func TestRecord(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := &Logger{Policy: policy(t, "- {level: Request, omitManagedFields: true}"), Sinks: []Sink{m}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	r := httptest.NewRequest("POST", "/api/v1/namespaces/default/pods?dryRun=All", nil)
	r.Header.Set("User-Agent", strings.Repeat("x", 5000))
	rec := l.Begin(r, "id", time.Now(), &auth.Attributes{User: &auth.User{Name: "jane"}, Verb: "create", IsResource: true, Version: "v1", Resource: "pods", Namespace: "default"})
	rec.Annotate("a", "1", false)
	rec.Annotate("a", "2", false)
	rec.Annotate("patch", "secret", true)
	rec.Request([]byte(`{"metadata":{"name":"p","managedFields":[{}]}}`))
	rec.Response([]byte(`{"not":"logged"}`))
	rec.Complete(http.StatusCreated, false)
	if len(m.events) != 2 || m.events[0].Stage != auditv1.StageRequestReceived || m.events[0].RequestObject != nil || len(m.events[0].Annotations) > 0 {
		t.Fatalf("logged %+v", m.events)
	}
	js, err := json.Marshal(m.events[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"stage":"ResponseComplete"`, `"requestObject":{"metadata":{"name":"p"}}`, `"annotations":{"a":"1","patch":"secret"}`, `"auditID":"id"`,
		`"requestURI":"/api/v1/namespaces/default/pods?dryRun=All"`, `"responseStatus":{"metadata":{},"code":201}`, `"objectRef":{"resource":"pods","namespace":"default","apiVersion":"v1"}`, `...TRUNCATED"`} {
		if !strings.Contains(string(js), want) {
			t.Errorf("%s is not in %s", want, js)
		}
	}
	if strings.Contains(string(js), "logged") {
		t.Errorf("the response is in %s", js)
	}
	var none *Record
	none.Annotate("a", "b", false)
	none.Request(nil)
	none.Complete(200, false)
}

func TestFileIsRotated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Unix(1_000_000, 0)
	s, err := NewFile(FileOptions{Path: filepath.Join(dir, "audit.log"), MaxSize: 2000, MaxBackups: 3}, func() time.Time { now = now.Add(time.Second); return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		s.Take(&auditv1.Event{Verb: fmt.Sprint(i)})
	}
	s.Close()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v", all, err)
	}
	var last []byte
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil || len(b) > 2000 || !bytes.HasSuffix(b, []byte("\n")) {
			t.Errorf("%s has %d bytes, %v", f, len(b), err)
		}
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, i.Mode(), err)
		}
		if filepath.Base(f) == "audit.log" {
			last = b
		}
	}
	if !strings.Contains(string(last), `"verb":"99"`) {
		t.Errorf("the file ends with %s", last)
	}
}

func hook(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := clientcmdapi.NewConfig()
	c.Clusters["a"] = &clientcmdapi.Cluster{Server: s.URL + "/events"}
	c.Contexts["a"] = &clientcmdapi.Context{Cluster: "a"}
	c.CurrentContext = "a"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWebhookLosesNothing that fits: what was taken before the sink was closed
// is posted, in order, also if the server stumbles.
func TestWebhookLosesNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	failed := false
	s, err := NewWebhook(hook(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !failed {
			failed = true
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		var l auditv1.EventList
		if err := json.NewDecoder(r.Body).Decode(&l); err != nil || l.Kind != "EventList" || r.URL.Path != "/events" {
			t.Errorf("posted %+v to %s, %v", l, r.URL, err)
		}
		for _, e := range l.Items {
			got = append(got, e.Verb)
		}
	}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		s.Take(&auditv1.Event{Verb: fmt.Sprint(i)})
	}
	s.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 1000 || got[0] != "0" || got[999] != "999" {
		t.Errorf("%d events were posted", len(got))
	}
}

// TestSlowWebhookDelaysNobody: events are lost instead, and Close gives up.
func TestSlowWebhookDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &webhook{log: slog.New(slog.DiscardHandler), queue: make(chan *auditv1.Event, 3), end: make(chan struct{})}
		for range 10 {
			w.Take(&auditv1.Event{})
		}
		if w.lost.Load() != 7 {
			t.Errorf("%d events are lost", w.lost.Load())
		}
		begun := time.Now()
		if batch, more := w.batch(); len(batch) != 3 || !more || time.Since(begun) != maxWait {
			t.Errorf("%d events after %s", len(batch), time.Since(begun))
		}
		close(w.end)
		if batch, more := w.batch(); len(batch) != 0 || more {
			t.Errorf("%d events after the end", len(batch))
		}
	})
}
