package apiserver_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
	"proa/auth"
)

// call sends a request through the chain as the administrator.
type call struct {
	method, path, body string
	contentType        string
	accept             string
	header             map[string]string
	user               *auth.User
}

func (c call) do(t testing.TB, env *apitest.Env) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	if c.accept != "" {
		r.Header.Set("Accept", c.accept)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	u := c.user
	if u == nil {
		u = apitest.AdminUser
	}
	w := httptest.NewRecorder()
	env.Handler.ServeHTTP(w, r.WithContext(auth.WithUser(r.Context(), u)))
	return w
}

func status(t testing.TB, w *httptest.ResponseRecorder) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if s.Kind != "Status" || s.APIVersion != "v1" || s.Status == "Failure" && int(s.Code) != w.Code {
		t.Errorf("not a status of code %d: %s", w.Code, w.Body)
	}
	return s
}

// want sends a call and expects its code, and all texts in the response.
func want(t testing.TB, env *apitest.Env, c call, code int, texts ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := c.do(t, env)
	if w.Code != code {
		t.Errorf("%s %s: code %d, want %d: %s", c.method, c.path, w.Code, code, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s %s: %q is not in %s", c.method, c.path, text, w.Body)
		}
	}
	if code >= 400 && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		status(t, w)
	}
	return w
}

func object(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return m
}

func dig(m any, path ...string) any {
	for _, p := range path {
		x, ok := m.(map[string]any)
		if !ok {
			return nil
		}
		m = x[p]
	}
	return m
}

const (
	cms       = "/api/v1/namespaces/default/configmaps"
	podsPath  = "/api/v1/namespaces/default/pods"
	deploys   = "/apis/apps/v1/namespaces/default/deployments"
	jsonPatch = "application/json-patch+json"
	mergeType = "application/merge-patch+json"
	strategic = "application/strategic-merge-patch+json"
	applyType = "application/apply-patch+yaml"
)

func cm(name, extra string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"}` + extra + `}`
}

const podBody = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`
