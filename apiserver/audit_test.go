package apiserver_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/audit"
	"proa/auth"
)

type auditLog struct {
	mu     sync.Mutex
	events []*auditv1.Event
}

func (l *auditLog) Take(e *auditv1.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (*auditLog) Close() {}

// since returns the events of what do does, in JSON.
func (l *auditLog) since(t *testing.T, do func() error) []string {
	t.Helper()
	l.mu.Lock()
	l.events = nil
	l.mu.Unlock()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		js, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(js))
	}
	return out
}

func TestAudit(t *testing.T) {
	t.Parallel()
	policy, err := audit.ParsePolicy([]byte(`{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], omitManagedFields: true, rules: [
	  {level: None, resources: [{group: "", resources: [namespaces]}]},
	  {level: Metadata, resources: [{group: "", resources: [secrets]}]},
	  {level: Request, resources: [{group: "", resources: [services]}]},
	  {level: RequestResponse}]}`))
	if err != nil {
		t.Fatal(err)
	}
	log := &auditLog{}
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Audit = &audit.Logger{Policy: policy, Sinks: []audit.Sink{log}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		c.Authorizer = auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
			if a.User.InGroup(auth.GroupMasters) {
				return auth.Allow, "for tests", nil
			}
			return auth.NoOpinion, "", nil
		})
	}))
	ctx, maps := t.Context(), env.Admin.CoreV1().ConfigMaps("default")
	fits := func(what string, events []string, want ...string) {
		t.Helper()
		if len(events) != 1 {
			t.Fatalf("%s: %d events: %v", what, len(events), events)
		}
		for _, w := range want {
			if no, not := strings.CutPrefix(w, "!"); strings.Contains(events[0], no) == not {
				t.Errorf("%s: want %s in %s", what, w, events[0])
			}
		}
	}
	fits("creation", log.since(t, func() error {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
		return err
	}), `"level":"RequestResponse"`, `"stage":"ResponseComplete"`, `"verb":"create"`, `"user":{"username":"admin"`, `"code":201`, `"requestObject":{"apiVersion":"v1"`, `"responseObject":{`, `"resourceVersion":"`, `"data":{"k":"v"}`, "!managedFields",
		`"authorization.k8s.io/decision":"allow"`, `"authorization.k8s.io/reason":"for tests"`, `"objectRef":{"resource":"configmaps","namespace":"default","name":"a","uid":"`)
	fits("patch", log.since(t, func() error {
		_, err := maps.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"w"}}`), metav1.PatchOptions{})
		return err
	}), `"verb":"patch"`, `"requestObject":{"data":{"k":"w"}}`, `"responseObject":{"`)
	fits("list", log.since(t, func() error { _, err := maps.List(ctx, metav1.ListOptions{}); return err }),
		`"verb":"list"`, `"kind":"ConfigMapList"`, "!managedFields")
	fits("deletion", log.since(t, func() error { return maps.Delete(ctx, "a", metav1.DeleteOptions{}) }), `"verb":"delete"`, `"kind":"DeleteOptions"`, `"code":200`)
	fits("not found", log.since(t, func() error { _, _ = maps.Get(ctx, "a", metav1.GetOptions{}); return nil }), `"code":404`, `"reason":"NotFound"`, `"status":"Failure"`)
	fits("secret", log.since(t, func() error {
		_, err := env.Admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"k": "hush"}}, metav1.CreateOptions{})
		return err
	}), `"level":"Metadata"`, "!hush", "!requestObject", "!responseObject")
	if events := log.since(t, func() error { _, err := env.Admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); return err }); len(events) > 0 {
		t.Errorf("what is left out: %v", events)
	}
	conf := rest.CopyConfig(env.Loopback(apitest.AdminUser))
	conf.Impersonate = rest.ImpersonationConfig{UserName: "jane"}
	fits("refusal", log.since(t, func() error {
		_, _ = kubernetes.NewForConfigOrDie(conf).CoreV1().ConfigMaps("default").Get(ctx, "a", metav1.GetOptions{})
		return nil
	}), `"code":403`, `"impersonatedUser":{"username":"jane"`, `"user":{"username":"admin"`, `"authorization.k8s.io/decision":"forbid"`)
	watch := log.since(t, func() error {
		w, err := maps.Watch(ctx, metav1.ListOptions{TimeoutSeconds: new(int64)})
		if err == nil {
			w.Stop()
		}
		return err
	})
	if len(watch) == 0 || !strings.Contains(watch[0], `"stage":"ResponseStarted"`) || !strings.Contains(watch[0], `"verb":"watch"`) {
		t.Errorf("watch: %v", watch)
	}
}

// TestUnauthenticatedIsLogged: a request without valid credentials is logged,
// without a user.
func TestUnauthenticatedIsLogged(t *testing.T) {
	t.Parallel()
	policy, err := audit.ParsePolicy([]byte(`{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: Metadata}]}`))
	if err != nil {
		t.Fatal(err)
	}
	log := &auditLog{}
	env := apitest.Start(t, apitest.WithNoNamespaces(), apitest.WithConfig(func(c *apiserver.Config) {
		c.Audit = &audit.Logger{Policy: policy, Sinks: []audit.Sink{log}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		c.Authenticator = noOne{}
	}))
	events := log.since(t, func() error {
		client, err := rest.HTTPClientFor(env.Config(nil))
		if err != nil {
			return err
		}
		resp, err := client.Get(env.URL() + "/api/v1/secrets")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	})
	if len(events) != 1 || !strings.Contains(events[0], `"code":401`) || !strings.Contains(events[0], `"user":{}`) || !strings.Contains(events[0], `"sourceIPs":["127.0.0.1"]`) {
		t.Errorf("logged %v", events)
	}
}

type noOne struct{}

func (noOne) Authenticate(*http.Request) (*auth.User, error) { return nil, nil }
