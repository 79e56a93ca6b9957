package crds_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	clientset "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"proa/apiserver/apitest"
	"proa/resource/apiextensions"
)

// world is an API server with clients for definitions and what they define.
type world struct {
	*apitest.Env
	t       testing.TB
	crds    clientset.Interface
	dynamic dynamic.Interface
}

func start(t testing.TB, options ...apitest.Option) *world {
	t.Helper()
	env := apitest.Start(t, options...)
	config := env.Loopback(apitest.AdminUser)
	w := &world{Env: env, t: t}
	var err error
	if w.crds, err = clientset.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if w.dynamic, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return w
}

// read makes a definition of YAML.
func read(t testing.TB, text string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	d := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// define creates a definition and waits until it is established, as clients do.
func (w *world) define(text string) *apiextensionsv1.CustomResourceDefinition {
	w.t.Helper()
	ctx := w.t.Context()
	api := w.crds.ApiextensionsV1().CustomResourceDefinitions()
	d, err := api.Create(ctx, read(w.t, text), metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.until(d.Name, d.ResourceVersion, func(d *apiextensionsv1.CustomResourceDefinition) bool {
		return apiextensions.Is(d, apiextensionsv1.Established)
	})
}

// until watches a definition from a revision on, until it is as wanted.
func (w *world) until(name, from string, ok func(*apiextensionsv1.CustomResourceDefinition) bool) *apiextensionsv1.CustomResourceDefinition {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	events, err := w.crds.ApiextensionsV1().CustomResourceDefinitions().Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + name, ResourceVersion: from,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		d, is := e.Object.(*apiextensionsv1.CustomResourceDefinition)
		if is && ok(d) {
			return d
		}
	}
	d, err := w.crds.ApiextensionsV1().CustomResourceDefinitions().Get(w.t.Context(), name, metav1.GetOptions{})
	w.t.Fatalf("%s did not become as wanted: %+v %v", name, d.Status, err)
	return nil
}

// in is a client of a resource in a namespace.
func (w *world) in(group, version, plural, namespace string) dynamic.ResourceInterface {
	r := w.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural})
	if namespace == "" {
		return r
	}
	return r.Namespace(namespace)
}

// object makes an object of YAML.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(js); err != nil {
		t.Fatal(err)
	}
	return u
}

// text is what an object says, without what the server decides.
func text(t testing.TB, u *unstructured.Unstructured) string {
	t.Helper()
	u = u.DeepCopy()
	for _, f := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	b, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
