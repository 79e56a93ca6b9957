package core

import (
	"fmt"
	"maps"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

var (
	accessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod}
	volumeModes = []corev1.PersistentVolumeMode{corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem}
)

func validateAccessModes(modes []corev1.PersistentVolumeAccessMode, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	oncePod, other := false, false
	for _, m := range modes {
		bad := check.OneOf(m, accessModes, at)
		errs = append(errs, bad...)
		oncePod = oncePod || m == corev1.ReadWriteOncePod
		other = other || m != corev1.ReadWriteOncePod && len(bad) == 0
	}
	if oncePod && other {
		errs = append(errs, field.Forbidden(at, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

// ValidatePersistentVolumeClaimSpec checks a claim's spec, in a claim or in a
// template. What old, the stored spec, has already it may keep.
func ValidatePersistentVolumeClaimSpec(s, old *corev1.PersistentVolumeClaimSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), "at least 1 access mode is required"))
	}
	if s.Selector != nil {
		rules := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: old != nil && old.Selector != nil && metavalidation.LabelSelectorHasInvalidLabelValue(old.Selector)}
		errs = append(errs, metavalidation.ValidateLabelSelector(s.Selector, rules, at.Child("selector"))...)
	}
	errs = append(errs, validateAccessModes(s.AccessModes, at.Child("accessModes"))...)
	storage := at.Child("resources").Key(string(corev1.ResourceStorage))
	if q, ok := s.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(storage, ""))
	} else {
		errs = append(errs, check.QuantityPositive(q, storage)...)
	}
	className := func(name *string, child string) {
		if name != nil && *name != "" {
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*name, false), *name, at.Child(child))...)
		}
	}
	className(s.StorageClassName, "storageClassName")
	if s.VolumeMode != nil {
		errs = append(errs, check.OneOf(*s.VolumeMode, volumeModes, at.Child("volumeMode"))...)
	}
	errs = append(errs, validateDataSources(s, at)...)
	className(s.VolumeAttributesClassName, "volumeAttributesClassName")
	return errs
}

func validateDataSources(s *corev1.PersistentVolumeClaimSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if d := s.DataSource; d != nil {
		errs = append(errs, validateDataSource(d.APIGroup, d.Kind, d.Name, at.Child("dataSource"))...)
	}
	d := s.DataSourceRef
	if d == nil {
		return errs
	}
	here := at.Child("dataSourceRef")
	errs = append(errs, validateDataSource(d.APIGroup, d.Kind, d.Name, here)...)
	foreign := d.Namespace != nil && *d.Namespace != ""
	if foreign {
		errs = append(errs, check.Messages(apivalidation.ValidateNamespaceName(*d.Namespace, false), *d.Namespace, here.Child("namespace"))...)
	}
	switch {
	case s.DataSource == nil:
	case foreign:
		errs = append(errs, field.Invalid(at, at.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified"))
	case !equalPointers(s.DataSource.APIGroup, d.APIGroup) || s.DataSource.Kind != d.Kind || s.DataSource.Name != d.Name:
		errs = append(errs, field.Invalid(at, at.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func validateDataSource(group *string, kind, name string, at *field.Path) field.ErrorList {
	errs := append(required(at, "name", name), required(at, "kind", kind)...)
	api := ""
	if group != nil {
		api = *group
	}
	if api == "" && kind != "PersistentVolumeClaim" {
		errs = append(errs, field.Invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
	}
	if api != "" {
		errs = append(errs, check.Messages(validation.IsDNS1123Subdomain(api), api, at.Child("apiGroup"))...)
	}
	return errs
}

func equalPointers[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func validateClaim(c *corev1.PersistentVolumeClaim) field.ErrorList {
	return ValidatePersistentVolumeClaimSpec(&c.Spec, nil, field.NewPath("spec"))
}

// validateClaimUpdate: of a claim's spec only the binding, and once bound the
// size and the attributes class, may still be set.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	spec := field.NewPath("spec")
	errs := ValidatePersistentVolumeClaimSpec(&c.Spec, &old.Spec, spec)
	next, was := c.DeepCopy(), old.DeepCopy()
	if old.Spec.VolumeName == "" {
		was.Spec.VolumeName = next.Spec.VolumeName
	}
	const legacyClass = corev1.BetaStorageClassAnnotation
	if upgradesStorageClass(c, old) {
		next.Spec.StorageClassName = nil
	} else {
		if c.Annotations[legacyClass] != old.Annotations[legacyClass] {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations", legacyClass), c.Annotations[legacyClass], check.Immutable))
		}
		// A claim made before there was a default class may get one.
		legacy, annotated := old.Annotations[legacyClass]
		if c.Spec.StorageClassName != nil && old.Spec.StorageClassName == nil && (!annotated || legacy == *c.Spec.StorageClassName) {
			next.Spec.StorageClassName = nil
		}
	}
	if c.Status.Phase == corev1.ClaimBound {
		if next.Spec.Resources.Requests != nil {
			next.Spec.Resources.Requests = maps.Clone(next.Spec.Resources.Requests)
			next.Spec.Resources.Requests[corev1.ResourceStorage] = old.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		if next.Spec.VolumeAttributesClassName != nil {
			next.Spec.VolumeAttributesClassName = was.Spec.VolumeAttributesClassName
		}
	}
	if !check.Equal(next.Spec, was.Spec) {
		errs = append(errs, field.Forbidden(spec, fmt.Sprintf("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n%v", cmp.Diff(was.Spec, next.Spec))))
	}
	size, oldSize, real := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage], old.Status.Capacity[corev1.ResourceStorage]
	if size.Cmp(oldSize) < 0 && size.Cmp(real) <= 0 {
		// Less than what was asked for, so that a failed expansion can be taken
		// back, but never less than what there is.
		errs = append(errs, field.Forbidden(spec.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	errs = append(errs, check.Unchanged(c.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if old.Spec.VolumeAttributesClassName != nil {
		at := spec.Child("volumeAttributesClassName")
		if v := c.Spec.VolumeAttributesClassName; v == nil {
			errs = append(errs, field.Forbidden(at, "update from non-nil value to nil is forbidden"))
		} else if *v == "" && *old.Spec.VolumeAttributesClassName != "" {
			errs = append(errs, field.Forbidden(at, "update from non-nil value to an empty string is forbidden"))
		}
	}
	return errs
}

// upgradesStorageClass reports whether the class moves from the annotation in
// which it once was to its field.
func upgradesStorageClass(c, old *corev1.PersistentVolumeClaim) bool {
	was, annotated := old.Annotations[corev1.BetaStorageClassAnnotation]
	now, still := c.Annotations[corev1.BetaStorageClassAnnotation]
	return annotated && old.Spec.StorageClassName == nil && c.Spec.StorageClassName != nil &&
		*c.Spec.StorageClassName == was && (!still || now == was)
}

func validateClaimStatus(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	var errs field.ErrorList
	if c.ResourceVersion == "" {
		errs = append(errs, field.Required(field.NewPath("resourceVersion"), ""))
	}
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(field.NewPath("Spec", "accessModes"), ""))
	}
	capacity := field.NewPath("status", "capacity")
	for _, r := range sortedKeys(c.Status.Capacity) {
		errs = append(errs, validateBasicQuantity(c.Status.Capacity[r], capacity.Key(string(r)))...)
	}
	statuses := field.NewPath("status", "allocatedResourceStatuses")
	for _, r := range sortedKeys(c.Status.AllocatedResourceStatuses) {
		errs = append(errs, validateClaimResource(r, statuses)...)
		if len(check.OneOf(c.Status.AllocatedResourceStatuses[r], claimResourceStatuses, statuses)) > 0 {
			errs = append(errs, field.NotSupported(statuses, r, claimResourceStatuses))
		}
	}
	allocated := field.NewPath("status", "allocatedResources")
	for _, r := range sortedKeys(c.Status.AllocatedResources) {
		bad := validateClaimResource(r, allocated)
		if len(bad) == 0 {
			bad = validateBasicQuantity(c.Status.AllocatedResources[r], allocated.Key(string(r)))
		}
		errs = append(errs, bad...)
	}
	return errs
}

var claimResourceStatuses = []corev1.ClaimResourceStatus{
	corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizeInProgress, corev1.PersistentVolumeClaimNodeResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizePending,
}

// validateClaimResource: of the system's own resources a claim has storage.
func validateClaimResource(name corev1.ResourceName, at *field.Path) field.ErrorList {
	if errs := check.QualifiedName(string(name), at); len(errs) > 0 {
		return errs
	}
	if check.IsNative(string(name)) && name != corev1.ResourceStorage {
		return field.ErrorList{field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceStorage})}
	}
	return nil
}
