package cluster

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
)

// TestIngressClass: the class is made as the default one, stays as users leave it, and
// is there only while this cluster serves it.
func TestIngressClass(t *testing.T) {
	t.Parallel()
	api, ctx := apitest.Start(t).Admin, t.Context()
	classes := api.NetworkingV1().IngressClasses()
	ensure := func(mode string) *networkingv1.IngressClass {
		t.Helper()
		if err := ensureIngressClass(ctx, api, mode); err != nil {
			t.Fatal(err)
		}
		c, err := classes.Get(ctx, "proa", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := ensure("nodes")
	if c == nil || c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
		t.Fatalf("the class is made as %v", c)
	}
	c.Annotations = nil
	if _, err := classes.Update(ctx, c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := ensure("nodes"); len(c.Annotations) > 0 {
		t.Error("the class is made the default again after a user has changed that")
	}
	if c := ensure("none"); c != nil {
		t.Error("the class is there and nobody serves it")
	}
	other := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "proa"}, Spec: networkingv1.IngressClassSpec{Controller: "example.com/x"}}
	if _, err := classes.Create(ctx, other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := ensure("none"); c == nil {
		t.Error("somebody else's class is taken away")
	}
}
