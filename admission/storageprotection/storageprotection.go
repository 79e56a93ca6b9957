// Package storageprotection is the admission plugin
// StorageObjectInUseProtection: volumes and claims carry a finalizer from
// their birth, by which controllers keep them while they are in use.
package storageprotection

import (
	"context"
	"slices"

	"proa/admission"
	"proa/resource"
)

// Finalizers, by the resource that carries them.
var finalizers = map[string]string{
	"persistentvolumeclaims":                 "kubernetes.io/pvc-protection",
	"persistentvolumes":                      "kubernetes.io/pv-protection",
	"volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}

// Plugin is the admission plugin.
type Plugin struct{}

// New makes the plugin.
func New() *Plugin { return &Plugin{} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "StorageObjectInUseProtection" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && subresource == "" && finalizers[def.GroupResource().String()] != ""
}

// Mutate implements [admission.Mutator].
func (*Plugin) Mutate(_ context.Context, a *admission.Attributes) error {
	o, ok := a.Object.(resource.Object)
	if f := finalizers[a.GroupResource().String()]; ok && !slices.Contains(o.GetFinalizers(), f) {
		o.SetFinalizers(append(slices.Clone(o.GetFinalizers()), f))
	}
	return nil
}
