// Package admissiontest helps to test admission plugins: it runs one as the
// chain would, and is a small world of objects for their getters.
package admissiontest

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/resource"
)

// Run passes a request through a plugin, first as a mutator, then as a
// validator. It reports whether the plugin wanted to see it.
func Run(ctx context.Context, p admission.Plugin, a *admission.Attributes) (handled bool, err error) {
	if a.Warn == nil {
		a.Warn = func(string) {}
	}
	if !p.Handles(a.Operation, a.Definition, a.Subresource) {
		return false, nil
	}
	c := admission.Chain{p}
	if err := c.Mutate(ctx, a); err != nil {
		return true, err
	}
	return true, c.Validate(ctx, a)
}

// World is a set of objects.
type World []resource.Object

func find[T resource.Object](w World, namespace, name string) (T, error) {
	for _, o := range w {
		if t, ok := o.(T); ok && t.GetNamespace() == namespace && t.GetName() == name {
			return t, nil
		}
	}
	var none T
	return none, apierrors.NewNotFound(schema.GroupResource{Resource: plural(none)}, name)
}

func plural(o resource.Object) string {
	switch o.(type) {
	case *corev1.Namespace:
		return "namespaces"
	case *corev1.Node:
		return "nodes"
	case *corev1.Pod:
		return "pods"
	case *corev1.Secret:
		return "secrets"
	case *corev1.ServiceAccount:
		return "serviceaccounts"
	case *corev1.PersistentVolumeClaim:
		return "persistentvolumeclaims"
	}
	return "objects"
}

func all[T resource.Object](w World, namespace string) []T {
	var list []T
	for _, o := range w {
		if t, ok := o.(T); ok && (namespace == "" || t.GetNamespace() == namespace) {
			list = append(list, t)
		}
	}
	return list
}

// Namespace finds a namespace.
func (w World) Namespace(_ context.Context, name string) (*corev1.Namespace, error) {
	return find[*corev1.Namespace](w, "", name)
}

// Node finds a node.
func (w World) Node(_ context.Context, name string) (*corev1.Node, error) {
	return find[*corev1.Node](w, "", name)
}

// Pod finds a pod.
func (w World) Pod(_ context.Context, ns, name string) (*corev1.Pod, error) {
	return find[*corev1.Pod](w, ns, name)
}

// ServiceAccount finds a service account.
func (w World) ServiceAccount(_ context.Context, ns, name string) (*corev1.ServiceAccount, error) {
	return find[*corev1.ServiceAccount](w, ns, name)
}

// ServiceAccountAdded never tells of anything: the world does not change.
func (World) ServiceAccountAdded(context.Context, string, string) (<-chan struct{}, func()) {
	return nil, func() {}
}

// PersistentVolumeClaim finds a claim.
func (w World) PersistentVolumeClaim(_ context.Context, ns, name string) (*corev1.PersistentVolumeClaim, error) {
	return find[*corev1.PersistentVolumeClaim](w, ns, name)
}

// PersistentVolume finds a volume.
func (w World) PersistentVolume(_ context.Context, name string) (*corev1.PersistentVolume, error) {
	return find[*corev1.PersistentVolume](w, "", name)
}

// CSIDriver finds a CSI driver.
func (w World) CSIDriver(_ context.Context, name string) (*storagev1.CSIDriver, error) {
	return find[*storagev1.CSIDriver](w, "", name)
}

// PriorityClass finds a priority class.
func (w World) PriorityClass(_ context.Context, name string) (*schedulingv1.PriorityClass, error) {
	return find[*schedulingv1.PriorityClass](w, "", name)
}

// PriorityClasses lists the priority classes.
func (w World) PriorityClasses(context.Context) ([]*schedulingv1.PriorityClass, error) {
	return all[*schedulingv1.PriorityClass](w, ""), nil
}

// RuntimeClass finds a runtime class.
func (w World) RuntimeClass(_ context.Context, name string) (*nodev1.RuntimeClass, error) {
	return find[*nodev1.RuntimeClass](w, "", name)
}

// StorageClass finds a storage class.
func (w World) StorageClass(_ context.Context, name string) (*storagev1.StorageClass, error) {
	return find[*storagev1.StorageClass](w, "", name)
}

// StorageClasses lists the storage classes.
func (w World) StorageClasses(context.Context) ([]*storagev1.StorageClass, error) {
	return all[*storagev1.StorageClass](w, ""), nil
}

// LimitRanges lists the limit ranges of a namespace.
func (w World) LimitRanges(_ context.Context, ns string) ([]*corev1.LimitRange, error) {
	return all[*corev1.LimitRange](w, ns), nil
}
