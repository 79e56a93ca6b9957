// Package storageclass is the admission plugin DefaultStorageClass: a claim
// that names no storage class gets the default one, if there is one.
package storageclass

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"proa/admission"
	"proa/resource"
)

// Annotations that make a class the default.
const (
	isDefault     = "storageclass.kubernetes.io/is-default-class"
	isDefaultBeta = "storageclass.beta.kubernetes.io/is-default-class"
)

// Classes lists the storage classes.
type Classes interface {
	StorageClasses(ctx context.Context) ([]*storagev1.StorageClass, error)
}

// Plugin is the admission plugin.
type Plugin struct{ classes Classes }

// New makes the plugin.
func New(c Classes) *Plugin { return &Plugin{c} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "DefaultStorageClass" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && subresource == "" && admission.Is(def, "", "persistentvolumeclaims")
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	claim, ok := a.Object.(*corev1.PersistentVolumeClaim)
	if !ok || claim.Spec.StorageClassName != nil {
		return nil
	}
	if _, named := claim.Annotations[corev1.BetaStorageClassAnnotation]; named {
		return nil
	}
	list, err := p.classes.StorageClasses(ctx)
	if err != nil {
		return admission.Forbidden(a, err)
	}
	if c := Default(list); c != nil {
		name := c.Name
		claim.Spec.StorageClassName = &name
	}
	return nil
}

// Default returns the class that is the default: of several the newest, and of
// those of one second the first by name; nil where there is none.
func Default(list []*storagev1.StorageClass) *storagev1.StorageClass {
	var best *storagev1.StorageClass
	for _, c := range list {
		if c.Annotations[isDefault] != "true" && c.Annotations[isDefaultBeta] != "true" {
			continue
		}
		switch {
		case best == nil, best.CreationTimestamp.Before(&c.CreationTimestamp):
			best = c
		case best.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < best.Name:
			best = c
		}
	}
	return best
}
