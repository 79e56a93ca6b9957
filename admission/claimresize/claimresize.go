// Package claimresize is the admission plugin PersistentVolumeClaimResize: a
// claim grows only if it is bound and its storage class allows that.
package claimresize

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"proa/admission"
	"proa/resource"
)

// Classes finds storage classes.
type Classes interface {
	StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error)
}

// Plugin is the admission plugin.
type Plugin struct{ classes Classes }

// New makes the plugin.
func New(c Classes) *Plugin { return &Plugin{c} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "PersistentVolumeClaimResize" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Update && subresource == "" && admission.Is(def, "", "persistentvolumeclaims")
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	claim, ok := a.Object.(*corev1.PersistentVolumeClaim)
	old, was := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok || !was {
		return nil
	}
	size, oldSize := claim.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(oldSize) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return admission.Forbidden(a, errors.New("Only bound persistent volume claims can be expanded"))
	}
	if !p.growable(ctx, claim, old) {
		return admission.Forbidden(a, errors.New("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"))
	}
	return nil
}

func (p *Plugin) growable(ctx context.Context, claim, old *corev1.PersistentVolumeClaim) bool {
	name := classOf(claim)
	if name == "" || name != classOf(old) {
		return false
	}
	c, err := p.classes.StorageClass(ctx, name)
	return err == nil && c.AllowVolumeExpansion != nil && *c.AllowVolumeExpansion
}

func classOf(c *corev1.PersistentVolumeClaim) string {
	if name, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return name
	}
	if c.Spec.StorageClassName != nil {
		return *c.Spec.StorageClassName
	}
	return ""
}
