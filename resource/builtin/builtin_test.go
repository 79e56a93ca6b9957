package builtin

import (
	"reflect"
	"slices"
	"testing"

	apiextensionsscheme "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/scheme"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"proa/resource"
	"proa/resource/apiregistration"
)

// known are the kinds of all clients.
var known = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(s))
	utilruntime.Must(apiextensionsscheme.AddToScheme(s))
	return s
}()

func TestTableHoldsEveryRow(t *testing.T) {
	t.Parallel()
	v := Table().View()
	for _, d := range Definitions() {
		m, ok := v.Resource(d.Storage.WithResource(d.Plural))
		if !ok || m.Kind != d.Kind {
			t.Errorf("%s is not found by its name", d.GroupResource())
		}
		if _, ok := v.KindFor(d.GroupVersionKind()); !ok {
			t.Errorf("%s is not found by its kind", d.GroupResource())
		}
	}
}

// TestConstructorsMakeTheirKind: what a row makes is what clients know under
// the same kind.
func TestConstructorsMakeTheirKind(t *testing.T) {
	t.Parallel()
	isKnown := func(t *testing.T, gvk schema.GroupVersionKind, o any) {
		want, err := known.New(gvk)
		if err != nil {
			t.Fatal(err)
		}
		if reflect.TypeOf(o) != reflect.TypeOf(want) {
			t.Errorf("%s is made as %T, not %T", gvk.Kind, o, want)
		}
	}
	for _, d := range Definitions() {
		if d.Storage.Group == apiregistration.SchemeGroupVersion.Group {
			continue // its types are of this project
		}
		for _, s := range d.Served {
			isKnown(t, s.GroupVersionKind(), s.New())
			if !d.Virtual {
				isKnown(t, s.GroupVersion.WithKind(s.Kind+"List"), s.NewList())
			}
		}
	}
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	for _, d := range Definitions() {
		for _, v := range d.Verbs {
			if !slices.Contains(resource.AllVerbs, v) {
				t.Errorf("%s: unknown verb %q", d.GroupResource(), v)
			}
		}
		if d.Virtual && !slices.Equal(d.Verbs, []string{"create"}) {
			t.Errorf("%s is virtual and serves %v", d.GroupResource(), d.Verbs)
		}
	}
}
