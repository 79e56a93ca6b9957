package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/apiserver/managed"
	"proa/resource/builtin"
)

func newHandler(t *testing.T) *Handler {
	t.Helper()
	h, err := New(builtin.Table(), managed.StandardTypes)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, url, accept string) (body []byte, contentType string) {
	t.Helper()
	r := httptest.NewRequest("GET", url, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", url, w.Code, w.Body)
	}
	return w.Body.Bytes(), w.Header().Get("Content-Type")
}

// dig follows keys into decoded JSON.
func dig(t *testing.T, v any, keys ...string) any {
	t.Helper()
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[k] == nil {
			t.Fatalf("%q of %v is missing", k, keys)
		}
		v = m[k]
	}
	return v
}

// TestV3DescribesPods: what kubectl explain, apply and patch read of a kind.
func TestV3DescribesPods(t *testing.T) {
	t.Parallel()
	body, _ := get(t, newHandler(t), "/openapi/v3/api/v1", "application/json")
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	schemas := dig(t, doc, "components", "schemas")
	pod := dig(t, schemas, "io.k8s.api.core.v1.Pod").(map[string]any)
	gvk := pod[kindExtension].([]any)[0].(map[string]any)
	if gvk["kind"] != "Pod" || gvk["version"] != "v1" {
		t.Errorf("Pod is marked as %v", gvk)
	}
	containers := dig(t, schemas, "io.k8s.api.core.v1.PodSpec", "properties", "containers").(map[string]any)
	for k, want := range map[string]string{
		"x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-list-type": "map", "type": "array",
	} {
		if containers[k] != want {
			t.Errorf("containers: %s is %v, want %s", k, containers[k], want)
		}
	}
	if d, _ := containers["description"].(string); !strings.Contains(d, "containers") {
		t.Errorf("containers are described as %q", d)
	}
	patch := dig(t, doc, "paths", "/api/v1/namespaces/{namespace}/pods/{name}", "patch")
	found := false
	for _, p := range dig(t, patch, "parameters").([]any) {
		found = found || p.(map[string]any)["name"] == "fieldValidation"
	}
	if !found {
		t.Error("patch does not say that it takes fieldValidation, without which kubectl validates by itself")
	}
}

// TestEveryReferenceIsDefined, in all documents.
func TestEveryReferenceIsDefined(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	index, _ := get(t, h, "/openapi/v3", "application/json")
	var list struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal(index, &list); err != nil || len(list.Paths) < 10 {
		t.Fatalf("%d paths, %v", len(list.Paths), err)
	}
	check := func(url string, at ...string) {
		body, _ := get(t, h, url, "application/json")
		var doc any
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatal(err)
		}
		defined := dig(t, doc, at...).(map[string]any)
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				if ref, ok := v["$ref"].(string); ok {
					if _, ok := defined[ref[strings.LastIndex(ref, "/")+1:]]; !ok {
						t.Errorf("%s: %s is not defined", url, ref)
					}
				}
				for _, x := range v {
					walk(x)
				}
			case []any:
				for _, x := range v {
					walk(x)
				}
			}
		}
		walk(doc)
	}
	for p := range list.Paths {
		check("/openapi/v3/"+p, "components", "schemas")
	}
	check("/openapi/v2", "definitions")
}

// TestProtobuf: client-go asks for the second version in protobuf.
func TestProtobuf(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	for url, accept := range map[string]string{
		"/openapi/v2":        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
		"/openapi/v3/api/v1": "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
	} {
		if body, typ := get(t, h, url, accept); len(body) < 1000 || !strings.Contains(typ, "protobuf") {
			t.Errorf("%s: %d bytes of %s", url, len(body), typ)
		}
	}
}

// TestOthersAreMerged: what another server serves is in the document of v2, and
// its types do not take the place of this server's.
func TestOthersAreMerged(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	h.Merge([]Other{
		{Prefix: "/apis/ships.example.com/v1/", Document: func() (*spec.Swagger, error) {
			doc := &spec.Swagger{}
			return doc, json.Unmarshal([]byte(`{"swagger":"2.0","info":{"title":"ships","version":"1"},"paths":{
				"/apis/ships.example.com/v1/boats":{"get":{"operationId":"listBoats","responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/Boat"}}}}},
				"/apis/apps/v1/deployments":{"get":{"operationId":"evil","responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/Other"}}}}}},
				"definitions":{"Boat":{"type":"object"},"Other":{"type":"object"}}}`), doc)
		}},
		{Prefix: "/apis/none/v1/", Document: func() (*spec.Swagger, error) { return nil, errors.New("it does not answer") }},
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		body, _ := get(t, h, "/openapi/v2", "application/json")
		if strings.Contains(string(body), `"/apis/ships.example.com/v1/boats"`) {
			if !strings.Contains(string(body), `"Boat":`) || strings.Contains(string(body), `"Other":`) || strings.Contains(string(body), "evil") {
				t.Error("more or less was merged than lies below the prefix")
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("it was not merged")
		}
	}
}
