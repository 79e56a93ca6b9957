package crds_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/garbage"
	"proa/controller/namespace"
)

// TestOwners: what an operator makes for a custom resource goes with it, and
// custom resources go with their namespace. The controllers run before the
// definition exists.
func TestOwners(t *testing.T) {
	t.Parallel()
	w := start(t, apitest.WithNamespaces("doomed"))
	controllertest.Run(t, w.Env, clock.RealClock{}, garbage.Definition(), namespace.Definition())
	w.define(boats)
	ctx := t.Context()
	api := w.in("example.com", "v1", "boats", "default")
	owner, err := api.Create(ctx, object(t, boat), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "example.com/v1", Kind: "Boat", Name: "a", UID: owner.GetUID(), Controller: &yes, BlockOwnerDeletion: &yes,
	}}}}
	if _, err := w.Admin.CoreV1().ConfigMaps("default").Create(ctx, owned, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	foreground := metav1.DeletePropagationForeground
	if err := api.Delete(ctx, "a", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	gone := func(what string, get func() error) {
		t.Helper()
		controllertest.Until(t, func() string {
			if err := get(); !apierrors.IsNotFound(err) {
				return fmt.Sprintf("%s is still there: %v", what, err)
			}
			return ""
		})
	}
	gone("what is owned", func() error {
		_, err := w.Admin.CoreV1().ConfigMaps("default").Get(ctx, "owned", metav1.GetOptions{})
		return err
	})
	gone("the owner", func() error { _, err := api.Get(ctx, "a", metav1.GetOptions{}); return err })

	doomed := w.in("example.com", "v1", "boats", "doomed")
	if _, err := doomed.Create(ctx, object(t, boat), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Admin.CoreV1().Namespaces().Delete(ctx, "doomed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone("the object", func() error { _, err := doomed.Get(ctx, "a", metav1.GetOptions{}); return err })
	gone("the namespace", func() error {
		_, err := w.Admin.CoreV1().Namespaces().Get(ctx, "doomed", metav1.GetOptions{})
		return err
	})
}
