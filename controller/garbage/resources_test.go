package garbage_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	clocktesting "k8s.io/utils/clock/testing"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/garbage"
	"proa/resource"
	"proa/resource/builtin"
)

// things is a resource that no client has a type for, as a custom one.
func things() *resource.Definition {
	return resource.Row[*v1.ConfigMap]{
		Storage: schema.GroupVersion{Group: "example.org", Version: "v1"}, Kind: "Thing", Plural: "things",
		New:          func() *v1.ConfigMap { return new(v1.ConfigMap) },
		NewList:      func() runtime.Object { return new(v1.ConfigMapList) },
		ValidateName: func(string, bool) []string { return nil },
	}.Define()
}

// Resources come and go while the collector works, also such as have no type.
func TestResourcesComeAndGo(t *testing.T) {
	t.Parallel()
	table := builtin.Table()
	env := apitest.Start(t, apitest.WithTable(table))
	clock := clocktesting.NewFakeClock(metav1.Now().Time)
	controllertest.Run(t, env, clock, garbage.Definition())
	w := &world{t, env}
	probe := func(name string) *v1.ConfigMap {
		return w.make("default", name, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: types.UID(name)})
	}
	w.gone(probe("first")) // it works

	def := things()
	if err := table.Replace(nil, []*resource.Definition{def}); err != nil {
		t.Fatal(err)
	}
	client, err := metadata.NewForConfig(env.Loopback(apitest.AdminUser))
	if err != nil {
		t.Fatal(err)
	}
	owner := w.make("default", "owner")
	body := `{"apiVersion":"example.org/v1","kind":"Thing","metadata":{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"` + string(owner.UID) + `","blockOwnerDeletion":true}]}}`
	rest := env.Admin.CoreV1().RESTClient()
	if err := rest.Post().AbsPath("/apis/example.org/v1/namespaces/default/things").SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	thing := client.Resource(def.Served[0].GroupVersion.WithResource("things")).Namespace("default")
	w.remove(owner, metav1.DeletePropagationBackground)
	controllertest.Until(t, func() string {
		clock.Step(garbage.LastLook)
		if _, err := thing.Get(t.Context(), "a", metav1.GetOptions{}); err == nil {
			return "the dependent of another resource is there"
		}
		return ""
	})

	if err := table.Replace([]*resource.Definition{def}, nil); err != nil {
		t.Fatal(err)
	}
	clock.Step(garbage.LastLook)
	w.gone(probe("last")) // what has gone does not hold it up
}
