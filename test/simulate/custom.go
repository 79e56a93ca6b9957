package simulate

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"proa/test/history"
)

// Two custom resources: boats are defined once and for all, and rafts again and
// again.
const customGroup = "simulated.proa.dev"

var (
	boatsResource = schema.GroupVersionResource{Group: customGroup, Version: "v1", Resource: "boats"}
	raftsResource = schema.GroupVersionResource{Group: customGroup, Version: "v1", Resource: "rafts"}
	crdsResource  = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
)

// customRoot is where the objects of a custom resource are kept.
func customRoot(r schema.GroupVersionResource) string {
	return "/registry/" + r.Group + "/" + r.Resource + "/"
}

// definitionOf a custom resource whose objects have a size and an owner.
func definitionOf(r schema.GroupVersionResource, singular, kind string) *unstructured.Unstructured {
	crd := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: r.Resource + "." + r.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: r.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: r.Resource, Singular: singular, Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: r.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
						"spec": {Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"size": {Type: "integer"}}},
					},
				}},
			}},
		},
	}
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		panic(err) // the literal above is wrong
	}
	return &unstructured.Unstructured{Object: tree}
}

// define makes the definition of boats.
func (w *world) define(ctx context.Context, admin dynamic.Interface) error {
	_, err := admin.Resource(crdsResource).Create(ctx, definitionOf(boatsResource, "boat", "Boat"), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// rebuild defines rafts, makes some, and takes the definition away with them,
// until ctx ends.
func (w *world) rebuild(ctx context.Context, admin dynamic.Interface) {
	definitions, rafts := admin.Resource(crdsResource), admin.Resource(raftsResource).Namespace(history.LedgerSpace)
	r := fate(w.plan.seed, 5, 0)
	for n := 0; sleep(ctx, time.Duration(r.IntN(30_000))*time.Millisecond) == nil; n++ {
		switch r.IntN(5) {
		case 0:
			_ = definitions.Delete(ctx, raftsResource.Resource+"."+customGroup, metav1.DeleteOptions{})
		case 1:
			_, _ = definitions.Create(ctx, definitionOf(raftsResource, "raft", "Raft"), metav1.CreateOptions{})
		default:
			_, _ = rafts.Create(ctx, custom(raftsResource, "Raft", fmt.Sprintf("raft-%d", n), int64(n)), metav1.CreateOptions{})
		}
	}
}

func custom(r schema.GroupVersionResource, kind, name string, size int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": r.GroupVersion().String(), "kind": kind,
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"size": size},
	}}
}

func (u *user) fleet() dynamic.ResourceInterface {
	return u.custom.Resource(boatsResource).Namespace(u.space)
}

// createBoat makes a boat, and a config map that goes with it.
func (u *user) createBoat(ctx context.Context) {
	u.boats++
	name := fmt.Sprintf("boat-%d", u.boats)
	boat, err := u.fleet().Create(ctx, custom(boatsResource, "Boat", name, int64(u.random.IntN(10))), metav1.CreateOptions{})
	if err != nil {
		return
	}
	u.wroteAt(customRoot(boatsResource)+u.space+"/"+name, boat.GetResourceVersion())
	cargo := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{
		{APIVersion: boat.GetAPIVersion(), Kind: boat.GetKind(), Name: name, UID: boat.GetUID()},
	}}}
	got, err := u.client.CoreV1().ConfigMaps(u.space).Create(ctx, cargo, metav1.CreateOptions{})
	u.wrote(configMapsResource, got, err)
}

func (u *user) boat() string { return fmt.Sprintf("boat-%d", 1+u.random.IntN(max(u.boats, 1))) }

func (u *user) changeBoat(ctx context.Context) {
	boat, err := u.fleet().Get(ctx, u.boat(), metav1.GetOptions{})
	if err != nil {
		return
	}
	if err := unstructured.SetNestedField(boat.Object, int64(10+u.random.IntN(1000)), "spec", "size"); err != nil {
		u.world.failf("%s: %v", boat.GetName(), err)
		return
	}
	if got, err := u.fleet().Update(ctx, boat, metav1.UpdateOptions{}); err == nil {
		u.wroteAt(customRoot(boatsResource)+u.space+"/"+boat.GetName(), got.GetResourceVersion())
	}
}

func (u *user) deleteBoat(ctx context.Context) { _ = u.fleet().Delete(ctx, u.boat(), u.anyhow()) }
