package crds_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"proa/apiserver/apitest"
)

const twoVersions = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kites.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: kites, kind: Kite}
  conversion:
    strategy: Webhook
    webhook: {conversionReviewVersions: [v2, v1], clientConfig: {url: "https://example.com/convert"}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {hostPort: {type: string}}}}
  - name: v2
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, properties: {host: {type: string}, port: {type: string, default: "80"}}}}
`

// converter is a webhook in this process. Its answer may be spoiled.
type converter struct {
	mu    sync.Mutex
	calls int
	spoil func(*apiextensionsv1.ConversionReview) error
}

// Call implements custom.Caller.
func (c *converter) Call(_ context.Context, where *apiextensionsv1.WebhookClientConfig, body []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	r := &apiextensionsv1.ConversionReview{}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, err
	}
	r.Response = &apiextensionsv1.ConversionResponse{UID: r.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	for _, raw := range r.Request.Objects {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw.Raw); err != nil {
			return nil, err
		}
		if strings.HasSuffix(r.Request.DesiredAPIVersion, "/v2") {
			host, port, _ := strings.Cut(u.Object["hostPort"].(string), ":")
			u.Object["host"], u.Object["port"] = host, port
			delete(u.Object, "hostPort")
		} else {
			u.Object["hostPort"] = u.Object["host"].(string) + ":" + u.Object["port"].(string)
			delete(u.Object, "host")
			delete(u.Object, "port")
		}
		u.SetAPIVersion(r.Request.DesiredAPIVersion)
		b, err := u.MarshalJSON()
		if err != nil {
			return nil, err
		}
		r.Response.ConvertedObjects = append(r.Response.ConvertedObjects, runtime.RawExtension{Raw: b})
	}
	r.Request = nil
	if c.spoil != nil {
		if err := c.spoil(r); err != nil {
			return nil, err
		}
	}
	return json.Marshal(r)
}

func (c *converter) set(spoil func(*apiextensionsv1.ConversionReview) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoil = spoil
}

// TestWebhookConversion: objects are written, patched, applied and listed in
// either version, and each is stored in one.
func TestWebhookConversion(t *testing.T) {
	t.Parallel()
	hook := &converter{}
	w := start(t, apitest.WithCaller(hook))
	w.define(twoVersions)
	ctx := t.Context()
	v1, v2 := w.in("example.com", "v1", "kites", "default"), w.in("example.com", "v2", "kites", "default")
	if _, err := v1.Create(ctx, object(t, `{apiVersion: example.com/v1, kind: Kite, metadata: {name: old}, hostPort: "a:1"}`), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if hook.calls != 0 {
		t.Errorf("%d conversions for what needs none", hook.calls)
	}
	made, err := v2.Create(ctx, object(t, `{apiVersion: example.com/v2, kind: Kite, metadata: {name: new}, host: b}`), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, made); got != `{"apiVersion":"example.com/v2","host":"b","kind":"Kite","metadata":{"name":"new","namespace":"default"},"port":"80"}` {
		t.Error(got)
	}
	got, err := v1.Get(ctx, "new", metav1.GetOptions{})
	if err != nil || got.Object["hostPort"] != "b:80" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := v2.Patch(ctx, "old", types.MergePatchType, []byte(`{"port":"2"}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := v1.Get(ctx, "old", metav1.GetOptions{}); err != nil || got.Object["hostPort"] != "a:2" || got.GetGeneration() != 2 {
		t.Errorf("%v %v", got, err)
	}
	applied := object(t, `{apiVersion: example.com/v2, kind: Kite, metadata: {name: old}, host: c}`)
	if _, err := v2.Apply(ctx, "old", applied, metav1.ApplyOptions{FieldManager: "m", Force: true}); err != nil {
		t.Fatal(err)
	}
	list, err := v2.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 2 || list.Items[1].Object["host"] != "c" || list.Items[1].GetAPIVersion() != "example.com/v2" {
		t.Errorf("%v %v", list, err)
	}
	kv, _, err := w.Store.Get(ctx, "/registry/example.com/kites/default/new")
	if err != nil || !strings.Contains(string(kv.Value), `"apiVersion":"example.com/v1"`) {
		t.Errorf("%s %v", kv.Value, err)
	}
}

// TestWebhookLies: an answer that does not keep to the rules is refused in
// upstream's words, and so is one that does not come.
func TestWebhookLies(t *testing.T) {
	t.Parallel()
	hook := &converter{}
	w := start(t, apitest.WithCaller(hook))
	w.define(twoVersions)
	ctx := t.Context()
	if _, err := w.in("example.com", "v1", "kites", "default").Create(ctx, object(t, `{apiVersion: example.com/v1, kind: Kite, metadata: {name: a}, hostPort: "a:1"}`), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	replace := func(old, now string) func(*apiextensionsv1.ConversionReview) error {
		return func(r *apiextensionsv1.ConversionReview) error {
			raw := &r.Response.ConvertedObjects[0].Raw
			*raw = []byte(strings.Replace(string(*raw), old, now, 1))
			return nil
		}
	}
	const of = "conversion webhook for example.com/v1, Kind=Kite "
	for name, c := range map[string]struct {
		spoil func(*apiextensionsv1.ConversionReview) error
		want  string
	}{
		"unreachable": {func(*apiextensionsv1.ConversionReview) error { return errors.New("connection refused") }, of + "failed: connection refused"},
		"another uid of the review": {func(r *apiextensionsv1.ConversionReview) error { r.Response.UID = "x"; return nil },
			of + `failed: expected response.uid="`},
		"another kind of answer": {func(r *apiextensionsv1.ConversionReview) error { r.Kind = "Review"; return nil },
			of + "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=Review"},
		"no response": {func(r *apiextensionsv1.ConversionReview) error { r.Response = nil; return nil }, of + "failed: no response provided"},
		"failure": {func(r *apiextensionsv1.ConversionReview) error {
			r.Response.Result = metav1.Status{Status: "Failure", Message: "no way"}
			return nil
		}, of + "failed: no way"},
		"too few": {func(r *apiextensionsv1.ConversionReview) error { r.Response.ConvertedObjects = nil; return nil },
			of + "returned 0 objects, expected 1"},
		"another version": {replace("example.com/v2", "example.com/v3"), of + "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)"},
		"another name":    {replace(`"name":"a"`, `"name":"b"`), of + "returned invalid object: must have the same name: a != b"},
		"bad label":       {replace(`"name":"a"`, `"labels":{"a b":"c"},"name":"a"`), of + `returned invalid metadata: metadata.labels: Invalid value: "a b"`},
		"labels of another type": {replace(`"name":"a"`, `"labels":{"a":1},"name":"a"`),
			of + "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object"},
	} {
		hook.set(c.spoil)
		_, err := w.in("example.com", "v2", "kites", "default").Get(ctx, "a", metav1.GetOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
