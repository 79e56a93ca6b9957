package builtin_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"proa/apiserver/apitest"
	"proa/resource"
	"proa/resource/builtin"
)

// manifests are the objects of testdata/objects.yaml by kind.
func manifests(t *testing.T) map[schema.GroupKind]*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile("testdata/objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[schema.GroupKind]*unstructured.Unstructured{}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		b, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(b); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		out[u.GroupVersionKind().GroupKind()] = u
	}
	return out
}

// TestEveryKindIsServed takes one object of each kind through its life on a
// real API server.
func TestEveryKindIsServed(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	config := env.Loopback(apitest.AdminUser)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	objects := manifests(t)
	for _, d := range builtin.Definitions() {
		if d.Virtual {
			continue
		}
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			o, ok := objects[d.GroupVersionKind().GroupKind()]
			if !ok {
				t.Fatalf("testdata/objects.yaml has no %s", d.Kind)
			}
			live(t, env, client, d, o)
		})
	}
}

func live(t *testing.T, env *apitest.Env, client dynamic.Interface, d *resource.Definition, o *unstructured.Unstructured) {
	ctx := t.Context()
	var api dynamic.ResourceInterface = client.Resource(d.Storage.WithResource(d.Plural))
	path := "/apis/" + d.Storage.String()
	if d.Storage.Group == "" {
		path = "/api/" + d.Storage.Version
	}
	if !d.ClusterScoped {
		api = client.Resource(d.Storage.WithResource(d.Plural)).Namespace("default")
		path += "/namespaces/default"
	}

	created, err := api.Create(ctx, o, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if want := map[bool]int64{true: 1}[d.HasGeneration]; created.GetGeneration() != want {
		t.Errorf("created with generation %d, not %d", created.GetGeneration(), want)
	}
	read, err := api.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatalf("get: %v", err)
	}

	// Writing back what was read changes nothing, so nothing is written.
	writes := map[string][]string{"update": nil}
	if _, ok := d.Updates["status"]; ok {
		writes["update of the status"] = []string{"status"}
	}
	for name, subresource := range writes {
		again, err := api.Update(ctx, read.DeepCopy(), metav1.UpdateOptions{}, subresource...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again.GetResourceVersion() != read.GetResourceVersion() {
			t.Errorf("%s with what was read wrote\n%v\nover\n%v", name, again, read)
		}
	}
	for _, s := range d.Served {
		v := client.Resource(s.GroupVersion.WithResource(d.Plural))
		var in dynamic.ResourceInterface = v
		if !d.ClusterScoped {
			in = v.Namespace("default")
		}
		list, err := in.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + o.GetName()})
		if err != nil || len(list.Items) != 1 {
			t.Errorf("list in %s: %d objects (%v)", s.GroupVersion, len(list.Items), err)
			continue
		}
		if gvk := list.Items[0].GroupVersionKind(); gvk != s.GroupVersionKind() {
			t.Errorf("listed in %s as %s", s.GroupVersion, gvk)
		}
	}
	if d.Scale != nil {
		s, err := api.Get(ctx, o.GetName(), metav1.GetOptions{}, "scale")
		if err != nil || s.GetKind() != "Scale" {
			t.Errorf("scale: %v (%v)", s, err)
		}
	}

	raw, err := env.Admin.Discovery().RESTClient().Get().AbsPath(path, d.Plural).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
		Param("fieldSelector", "metadata.name="+o.GetName()).DoRaw(ctx)
	if err != nil {
		t.Fatalf("print: %v", err)
	}
	var table metav1.Table
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.ColumnDefinitions) != len(d.Columns) || len(table.Rows) != 1 || len(table.Rows[0].Cells) != len(d.Columns) {
		t.Errorf("printed as %s", raw)
	}

	now := int64(0)
	if err := api.Delete(ctx, o.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Errorf("delete: %v", err)
	}
}
