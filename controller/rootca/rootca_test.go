package rootca_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/rootca"
)

// Every namespace has the certificates, and gets them back when they are
// changed or deleted; other ConfigMaps are left alone.
func TestPublish(t *testing.T) {
	t.Parallel()
	const name = "kube-root-ca.crt"
	env := apitest.Start(t, apitest.WithNamespaces("old"))
	controllertest.Run(t, env, clock.RealClock{}, rootca.Definition([]byte("the certificates")))
	core := env.Admin.CoreV1()
	if _, err := core.Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	right := func(ns string) {
		t.Helper()
		controllertest.Until(t, func() string {
			cm, err := core.ConfigMaps(ns).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			if len(cm.Data) != 1 || cm.Data["ca.crt"] != "the certificates" {
				return "wrong data"
			}
			return ""
		})
	}
	right("old")
	right("new")
	for _, patch := range []string{`{"data":{"ca.crt":"others"}}`, `{"data":{"more":"x"}}`, `{"data":null}`} {
		if _, err := core.ConfigMaps("new").Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		right("new")
	}
	if err := core.ConfigMaps("new").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	right("new")
}
