package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateInlineVolumeSpec checks the spec of a persistent volume that exists
// only within a volume attachment: a CSI volume that a pod names directly, so
// nothing binds, reclaims or places it.
func ValidateInlineVolumeSpec(s *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	const context = " in the context of inline volumes"
	var errs field.ErrorList
	forbid := func(is bool, name string) {
		if is {
			errs = append(errs, field.Forbidden(at.Child(name), "may not be specified"+context))
		}
	}
	forbid(s.ClaimRef != nil, "claimRef")
	forbid(len(s.Capacity) > 0, "capacity")
	if s.CSI == nil {
		errs = append(errs, field.Required(at.Child("csi"), "has to be specified"+context))
	}
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), ""))
	}
	errs = append(errs, validateAccessModes(s.AccessModes, at.Child("accessModes"))...)
	if p := s.PersistentVolumeReclaimPolicy; p != "" && p != corev1.PersistentVolumeReclaimRetain {
		errs = append(errs, field.Forbidden(at.Child("persistentVolumeReclaimPolicy"),
			"may only be "+string(corev1.PersistentVolumeReclaimRetain)+context))
	}
	forbid(s.NodeAffinity != nil, "nodeAffinity")
	errs = append(errs, oneSource(persistentSources(s, "", at), at)...)
	forbid(s.StorageClassName != "", "storageClassName")
	if m := s.VolumeMode; m != nil && *m != corev1.PersistentVolumeFilesystem {
		errs = append(errs, field.Forbidden(at.Child("volumeMode"),
			"may not specify volumeMode other than "+string(corev1.PersistentVolumeFilesystem)+context))
	}
	return errs
}
