package crds_test

import (
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/resource/apiextensions"
)

const boats = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: boats, kind: Boat, shortNames: [bo], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    additionalPrinterColumns:
    - {name: Sails, type: integer, jsonPath: .spec.sails}
    selectableFields: [{jsonPath: .spec.color}]
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            properties:
              sails: {type: integer, default: 2, minimum: 1}
              color: {type: string}
              replicas: {type: integer}
              crew:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, role: {type: string, default: sailor}}}
            x-kubernetes-validations:
            - {rule: "self.sails < 10", message: too many sails}
            - {rule: "!has(oldSelf.color) || self.color == oldSelf.color", message: color is for ever}
          status:
            type: object
            properties: {replicas: {type: integer}, selector: {type: string}, afloat: {type: boolean}}
`

const boat = `
apiVersion: example.com/v1
kind: Boat
metadata: {name: a}
spec: {color: red, crew: [{name: jo}], unknown: {x: 1}}
status: {afloat: true}
`

// TestLife takes an object through all verbs, right after its definition was
// seen to be established.
func TestLife(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.define(boats)
	ctx := t.Context()
	api := w.in("example.com", "v1", "boats", "default")
	made, err := api.Create(ctx, object(t, boat), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"a","namespace":"default"},"spec":{"color":"red","crew":[{"name":"jo","role":"sailor"}],"sails":2}}`
	if got := text(t, made); got != want {
		t.Errorf("created %s\nwant %s", got, want)
	}
	if made.GetGeneration() != 1 || len(made.GetManagedFields()) != 1 {
		t.Errorf("%v", made.Object["metadata"])
	}
	got, err := api.Get(ctx, "a", metav1.GetOptions{})
	if err != nil || text(t, got) != want || got.GetResourceVersion() != made.GetResourceVersion() {
		t.Errorf("got %s %v", text(t, got), err)
	}
	events, err := api.Watch(ctx, metav1.ListOptions{ResourceVersion: made.GetResourceVersion()})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	list, err := api.List(ctx, metav1.ListOptions{FieldSelector: "spec.color=red"})
	if err != nil || len(list.Items) != 1 || list.GetKind() != "BoatList" {
		t.Errorf("%+v %v", list, err)
	}
	if list, err = api.List(ctx, metav1.ListOptions{FieldSelector: "spec.color=blue"}); err != nil || len(list.Items) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	for kind, patch := range map[types.PatchType]string{
		types.MergePatchType: `{"spec":{"sails":3}}`,
		types.JSONPatchType:  `[{"op":"replace","path":"/spec/sails","value":4}]`,
	} {
		if _, err := api.Patch(ctx, "a", kind, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if e := <-events.ResultChan(); e.Type != watch.Modified {
			t.Errorf("%+v", e)
		}
	}
	if _, err := api.Patch(ctx, "a", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsUnsupportedMediaType(err) {
		t.Errorf("strategic merge: %v", err)
	}
	applied := object(t, "{apiVersion: example.com/v1, kind: Boat, metadata: {name: a}, spec: {crew: [{name: al, role: cook}]}}")
	after, err := api.Apply(ctx, "a", applied, metav1.ApplyOptions{FieldManager: "shipyard"})
	if err != nil {
		t.Fatal(err)
	}
	if crew, _, _ := unstructured.NestedSlice(after.Object, "spec", "crew"); len(crew) != 2 {
		t.Errorf("lists were not merged by their keys: %v", crew)
	}
	if after.GetGeneration() != 4 {
		t.Errorf("generation %d", after.GetGeneration())
	}
	after.Object["status"] = map[string]any{"afloat": true}
	after.Object["spec"].(map[string]any)["sails"] = int64(9)
	now, err := api.UpdateStatus(ctx, after, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if sails, _, _ := unstructured.NestedInt64(now.Object, "spec", "sails"); sails == 9 || now.GetGeneration() != 4 {
		t.Errorf("an update of the status changed more: %s", text(t, now))
	}
	if afloat, _, _ := unstructured.NestedBool(now.Object, "status", "afloat"); !afloat {
		t.Errorf("%s", text(t, now))
	}
	if _, err := api.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale update: %v", err)
	}
	if err := api.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}

// TestDeletion: a definition goes with all that it defines, wherever that is, as
// soon as nothing holds it; meanwhile nothing new can be made.
func TestDeletion(t *testing.T) {
	t.Parallel()
	w := start(t, apitest.WithNamespaces("other"))
	made := w.define(boats)
	ctx := t.Context()
	for _, ns := range []string{"default", "other"} {
		b := object(t, boat)
		if ns == "other" {
			b.SetFinalizers([]string{"example.com/held"})
		}
		if _, err := w.in("example.com", "v1", "boats", ns).Create(ctx, b, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until(made.Name, made.ResourceVersion, func(d *apiextensionsv1.CustomResourceDefinition) bool {
		c := apiextensions.Condition(d, apiextensionsv1.Terminating)
		return c != nil && c.Reason == "InstanceDeletionInProgress"
	})
	api := w.in("example.com", "v1", "boats", "default")
	b := object(t, boat)
	b.SetName("late")
	if _, err := api.Create(ctx, b, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "create not allowed while custom resource definition is terminating") {
		t.Errorf("created while the definition is deleted: %v", err)
	}
	controllertest.Until(t, func() string {
		if _, err := api.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Sprint("still there: ", err)
		}
		return ""
	})
	if _, err := w.in("example.com", "v1", "boats", "other").Patch(ctx, "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, func() string {
		if _, err := w.crds.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, made.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Sprint("the definition is still there: ", err)
		}
		return ""
	})
	if _, err := api.List(ctx, metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("served after the definition has gone: %v", err)
	}
}

// TestDefaultStatus: what is created has no status, and is read with the default one
// from the first answer on, also by watches.
func TestDefaultStatus(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.define(strings.Replace(boats, "            properties: {replicas: {type: integer}, selector", "            default: {afloat: false}\n            properties: {replicas: {type: integer}, selector", 1))
	ctx, api := t.Context(), w.in("example.com", "v1", "boats", "default")
	events, err := api.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	made, err := api.Create(ctx, object(t, boat), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told, ok := (<-events.ResultChan()).Object.(*unstructured.Unstructured)
	if !ok {
		t.Fatal("the watch says something else")
	}
	for what, o := range map[string]*unstructured.Unstructured{"made": made, "read": got, "told": told} {
		if afloat, found, _ := unstructured.NestedBool(o.Object, "status", "afloat"); afloat || !found {
			t.Errorf("%s as %s", what, text(t, o))
		}
	}
}
