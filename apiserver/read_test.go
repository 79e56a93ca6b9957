package apiserver_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"proa/apiserver/apitest"
)

func names(t testing.TB, body []byte) (list metav1.PartialObjectMetadataList, out string) {
	t.Helper()
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, i := range list.Items {
		out += i.Name + " "
	}
	return list, strings.TrimSpace(out)
}

func fill(t testing.TB, env *apitest.Env, n int) {
	t.Helper()
	for i := range n {
		want(t, env, call{method: "POST", path: cms, body: fmt.Sprintf(`{"metadata":{"name":"a%d","labels":{"n":"%d"}},"data":{"k":"v"}}`, i, i%2)}, 201)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("other"))
	fill(t, env, 5)
	want(t, env, call{method: "POST", path: "/api/v1/namespaces/other/configmaps", body: cm("z", "")}, 201)
	for _, c := range []struct{ query, names string }{
		{"", "a0 a1 a2 a3 a4"}, {"?labelSelector=n%3D1", "a1 a3"}, {"?fieldSelector=metadata.name%3Da2", "a2"},
		{"?labelSelector=n+notin+(1)&fieldSelector=metadata.name!%3Da2", "a0 a4"}, {"?resourceVersion=0", "a0 a1 a2 a3 a4"},
	} {
		list, got := names(t, want(t, env, call{method: "GET", path: cms + c.query}, 200).Body.Bytes())
		if got != c.names || list.ResourceVersion == "" || list.Kind != "ConfigMapList" {
			t.Errorf("%s: %s %+v", c.query, got, list.ListMeta)
		}
	}
	if _, got := names(t, want(t, env, call{method: "GET", path: "/api/v1/configmaps"}, 200).Body.Bytes()); got != "a0 a1 a2 a3 a4 z" {
		t.Error(got)
	}
	w := want(t, env, call{method: "GET", path: cms, accept: "application/yaml"}, 200, "kind: ConfigMapList")
	if w.Header().Get("Content-Type") != "application/yaml" {
		t.Error(w.Header())
	}
	want(t, env, call{method: "GET", path: "/api/v1/namespaces/none/configmaps?pretty=true"}, 200, "\"items\": []")
}

// Pages show one revision, however much is written between them.
func TestPaging(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 5)
	page, got := names(t, want(t, env, call{method: "GET", path: cms + "?limit=2"}, 200).Body.Bytes())
	if got != "a0 a1" || page.Continue == "" || page.RemainingItemCount == nil || *page.RemainingItemCount != 3 {
		t.Fatalf("%s %+v", got, page.ListMeta)
	}
	want(t, env, call{method: "DELETE", path: cms + "/a3"}, 200)
	want(t, env, call{method: "POST", path: cms, body: cm("a2b", "")}, 201)
	next, got := names(t, want(t, env, call{method: "GET", path: cms + "?limit=2&continue=" + url.QueryEscape(page.Continue)}, 200).Body.Bytes())
	if got != "a2 a3" || next.ResourceVersion != page.ResourceVersion {
		t.Errorf("%s %+v, was %+v", got, next.ListMeta, page.ListMeta)
	}
	last, got := names(t, want(t, env, call{method: "GET", path: cms + "?continue=" + url.QueryEscape(next.Continue)}, 200).Body.Bytes())
	if got != "a4" || last.Continue != "" || last.RemainingItemCount != nil {
		t.Errorf("%s %+v", got, last.ListMeta)
	}
	exact, got := names(t, want(t, env, call{method: "GET", path: cms + "?resourceVersionMatch=Exact&resourceVersion=" + page.ResourceVersion}, 200).Body.Bytes())
	if got != "a0 a1 a2 a3 a4" || exact.ResourceVersion != page.ResourceVersion {
		t.Errorf("%s %+v", got, exact.ListMeta)
	}
}

func TestProtobuf(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 3)
	const pb = "application/vnd.kubernetes.protobuf"
	s := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	w := want(t, env, call{method: "GET", path: cms + "?limit=2", accept: pb}, 200)
	if w.Header().Get("Content-Type") != pb {
		t.Error(w.Header())
	}
	obj, _, err := s.Decode(w.Body.Bytes(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := obj.(*corev1.ConfigMapList)
	if len(list.Items) != 2 || list.Items[1].Name != "a1" || list.Items[1].ResourceVersion == "" || list.Items[0].Data["k"] != "v" || list.Continue == "" {
		t.Errorf("%+v", list)
	}
	obj, gvk, err := s.Decode(want(t, env, call{method: "GET", path: cms + "/a0", accept: pb}, 200).Body.Bytes(), nil, nil)
	if err != nil || gvk.Kind != "ConfigMap" || obj.(*corev1.ConfigMap).UID == "" {
		t.Errorf("%v %v %v", obj, gvk, err)
	}
	obj, _, err = s.Decode(want(t, env, call{method: "GET", path: cms + "/none", accept: pb}, 404).Body.Bytes(), nil, nil)
	if st, ok := obj.(*metav1.Status); err != nil || !ok || st.Reason != "NotFound" {
		t.Errorf("%v %v", obj, err)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 2)
	const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	var table metav1.Table
	w := want(t, env, call{method: "GET", path: cms, accept: accept}, 200)
	if err := json.Unmarshal(w.Body.Bytes(), &table); err != nil {
		t.Fatal(err)
	}
	if table.Kind != "Table" || table.APIVersion != "meta.k8s.io/v1" || len(table.Rows) != 2 || table.ResourceVersion == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s", w.Body)
	}
	if table.ColumnDefinitions[0].Name != "Name" || table.Rows[0].Cells[0] != "a0" || table.Rows[0].Cells[1] != float64(1) {
		t.Errorf("%+v", table.Rows[0])
	}
	if raw := string(table.Rows[0].Object.Raw); !strings.Contains(raw, `"kind":"PartialObjectMetadata"`) || strings.Contains(raw, `"data"`) {
		t.Error(raw)
	}
	want(t, env, call{method: "GET", path: cms + "?includeObject=Object", accept: accept}, 200, `"object":{"kind":"ConfigMap","apiVersion":"v1","metadata":`)
	want(t, env, call{method: "GET", path: cms + "?includeObject=None", accept: accept}, 200, `"object":null`)
	want(t, env, call{method: "GET", path: cms + "?includeObject=X", accept: accept}, 422)
	want(t, env, call{method: "GET", path: cms + "/a1", accept: accept}, 200, `"cells":["a1",`)
	// An error stays a status.
	want(t, env, call{method: "GET", path: cms + "/none", accept: accept}, 404)
}

func TestPartial(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	fill(t, env, 1)
	as := func(kind string) string { return "application/json;as=" + kind + ";v=v1;g=meta.k8s.io" }
	w := want(t, env, call{method: "GET", path: cms, accept: as("PartialObjectMetadataList")}, 200, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"`)
	if strings.Contains(w.Body.String(), `"data"`) {
		t.Error(w.Body)
	}
	want(t, env, call{method: "GET", path: cms + "/a0", accept: as("PartialObjectMetadata")}, 200, `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a0"`)
	want(t, env, call{method: "GET", path: cms + "/a0", accept: as("PartialObjectMetadataList")}, 406)
	want(t, env, call{method: "GET", path: cms, accept: as("PartialObjectMetadata")}, 406)
}

// TestFormsOfReviews: what is no resource has metadata, but no columns.
func TestFormsOfReviews(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	review := func(accept string) call {
		return call{method: "POST", path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body: `{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`, accept: accept}
	}
	want(t, env, review("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), 201, `"kind":"SelfSubjectAccessReview"`, `"allowed":true`)
	want(t, env, review("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"), 201, `"kind":"PartialObjectMetadata"`)
	want(t, env, review("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"), 406)
}

func TestCompression(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: cms, body: cm("a", `,"data":{"k":"`+strings.Repeat("x", 200<<10)+`"}`)}, 201)
	c := call{method: "GET", path: cms, header: map[string]string{"Accept-Encoding": "gzip"}}
	w := c.do(t, env)
	if w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatal(w.Header())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil || len(b) < 200<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestNonResourcePaths(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "GET", path: "/"}, 200, `"/api/v1"`, `"/apis/apps/v1"`, `"/healthz/ping"`, `"/version"`)
	want(t, env, call{method: "GET", path: "/version"}, 200, `"gitVersion": "v1.36.3+proa-`, `"major": "1"`, `"minor": "36"`)
	want(t, env, call{method: "GET", path: "/livez"}, 200, "ok")
	want(t, env, call{method: "GET", path: "/readyz?verbose"}, 200, "[+]ping ok", "readyz check passed")
	want(t, env, call{method: "GET", path: "/healthz/ping"}, 200, "ok")
	want(t, env, call{method: "GET", path: "/api/v1/namespaces/default"}, 200)
	want(t, env, call{method: "GET", path: "/metrics"}, 200, `apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="namespaces",scope="resource",subresource="",verb="GET",version="v1"} 1`,
		`apiserver_storage_objects{resource="namespaces"} 1`)
}
