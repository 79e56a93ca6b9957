package namespace_test

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/namespace"
)

// A namespace is emptied, pods first, waits for what has finalizers and says so,
// and goes.
func TestEmpty(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("n", "other"))
	controllertest.Run(t, env, clock.RealClock{}, namespace.Definition())
	core := env.Admin.CoreV1()
	hold := []string{"example.org/hold"}
	for _, ns := range []string{"n", "other"} {
		if _, err := core.Pods(ns).Create(t.Context(), &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Finalizers: hold},
			Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for name, finalizers := range map[string][]string{"free": nil, "held": hold} {
			if _, err := core.ConfigMaps(ns).Create(t.Context(), &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: finalizers}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := core.Namespaces().Delete(t.Context(), "n", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	says := func(what v1.NamespaceConditionType, text string) {
		t.Helper()
		controllertest.Until(t, func() string {
			ns, err := core.Namespaces().Get(t.Context(), "n", metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			for _, c := range ns.Status.Conditions {
				if c.Type == what && c.Status == v1.ConditionTrue && strings.Contains(c.Message, text) && ns.Status.Phase == v1.NamespaceTerminating {
					return ""
				}
			}
			return fmt.Sprintf("%s does not say %q: %+v", what, text, ns.Status)
		})
	}
	release := []byte(`{"metadata":{"finalizers":null}}`)
	says(v1.NamespaceContentRemaining, "pods has 1 resource instances")
	says(v1.NamespaceFinalizersRemaining, "example.org/hold in 1 resource instances")
	if cm, err := core.ConfigMaps("n").Get(t.Context(), "free", metav1.GetOptions{}); err != nil || cm.DeletionTimestamp != nil {
		t.Errorf("deleted while pods were there: %v %v", cm, err)
	}
	if _, err := core.Pods("n").Patch(t.Context(), "p", types.MergePatchType, release, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	says(v1.NamespaceContentRemaining, "configmaps has 1 resource instances")
	if _, err := core.ConfigMaps("n").Patch(t.Context(), "held", types.MergePatchType, release, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, func() string {
		ns, err := core.Namespaces().Get(t.Context(), "n", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("the namespace is there: %+v %v", ns, err)
	})
	if l, err := core.ConfigMaps("other").List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 2 {
		t.Errorf("another namespace has %d objects left: %v", len(l.Items), err)
	}
}
