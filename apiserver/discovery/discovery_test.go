package discovery

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource/builtin"
)

func get(t *testing.T, h *Handler, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	if !h.Serve(w, r) {
		w.Code = 404
	}
	return w
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	h := &Handler{Table: builtin.Table()}
	var list metav1.APIResourceList
	if err := json.Unmarshal(get(t, h, "/api/v1", "").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range list.APIResources {
		if r.Name == "pods" {
			found = true
			// The hash that upstream gives for core/v1 pods.
			if r.StorageVersionHash != "xPOwRZ+Yhw8=" || r.ShortNames[0] != "po" || !r.Namespaced {
				t.Errorf("%+v", r)
			}
		}
	}
	if !found || list.Kind != "APIResourceList" || list.GroupVersion != "v1" {
		t.Errorf("%+v", list)
	}
	if w := get(t, h, "/apis/apps/v1", ""); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
	for _, p := range []string{"/apis/nothing", "/apis/apps/v9", "/api/v2", "/apis/apps/v1/x"} {
		if w := get(t, h, p, ""); w.Code != 404 {
			t.Errorf("%s: %d", p, w.Code)
		}
	}
}

func TestAggregated(t *testing.T) {
	t.Parallel()
	h := &Handler{Table: builtin.Table()}
	const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
	w := get(t, h, "/apis", accept)
	var all apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	if all.Kind != "APIGroupDiscoveryList" || all.APIVersion != "apidiscovery.k8s.io/v2" || len(all.Items) == 0 || all.Items[0].Name != "apiregistration.k8s.io" || all.Items[1].Name != "apps" {
		t.Errorf("%+v", all.TypeMeta)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" {
		t.Error(ct)
	}
	r := httptest.NewRequest("GET", "/apis", nil)
	r.Header.Set("Accept", accept)
	r.Header.Set("If-None-Match", w.Header().Get("ETag"))
	again := httptest.NewRecorder()
	h.Serve(again, r)
	if again.Code != 304 {
		t.Errorf("the ETag was not recognised: %d", again.Code)
	}
	old := get(t, h, "/apis", "application/json")
	var groups metav1.APIGroupList
	if err := json.Unmarshal(old.Body.Bytes(), &groups); err != nil || groups.Kind != "APIGroupList" {
		t.Errorf("%s %v", old.Body, err)
	}
}
