package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// PersistentVolumeClaim is the row of persistent volume claims.
func PersistentVolumeClaim() *resource.Definition {
	spec, status := corev1.PersistentVolumeClaimSpec{}.SwaggerDoc(), corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	return resource.Row[*corev1.PersistentVolumeClaim]{
		Storage:        corev1.SchemeGroupVersion,
		Kind:           "PersistentVolumeClaim",
		Plural:         "persistentvolumeclaims",
		ShortNames:     []string{"pvc"},
		New:            func() *corev1.PersistentVolumeClaim { return new(corev1.PersistentVolumeClaim) },
		NewList:        func() runtime.Object { return new(corev1.PersistentVolumeClaimList) },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		Default:        DefaultPersistentVolumeClaim,
		PrepareCreate:  prepareClaimCreate,
		PrepareUpdate:  prepareClaimUpdate,
		Validate:       validateClaim,
		ValidateUpdate: validateClaimUpdate,
		Warnings:       claimWarnings,
		Updates: map[string]resource.Update[*corev1.PersistentVolumeClaim]{
			"status": {
				PrepareUpdate:  func(_ *resource.Request, c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec },
				ValidateUpdate: validateClaimStatus,
			},
		},
		Fields: func(c *corev1.PersistentVolumeClaim) map[string]string {
			return map[string]string{"name": c.Name}
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Status", status["phase"]),
			columns.String("Volume", spec["volumeName"]),
			columns.String("Capacity", status["capacity"]),
			columns.String("Access Modes", status["accessModes"]),
			columns.String("StorageClass", "StorageClass of the pvc"),
			columns.String("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
			columns.Age(),
			columns.Wide(columns.String("VolumeMode", spec["volumeMode"])),
		},
		Cells: claimCells,
	}.Define()
}

func claimCells(c *corev1.PersistentVolumeClaim, now time.Time) []any {
	phase := string(c.Status.Phase)
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	var capacity, modes string
	if c.Spec.VolumeName != "" {
		modes = accessModesCell(c.Status.AccessModes)
		size := c.Status.Capacity[corev1.ResourceStorage]
		capacity = size.String()
	}
	class := ""
	if legacy, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = legacy
	} else if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	return []any{
		c.Name, phase, c.Spec.VolumeName, capacity, modes, class, orUnset(c.Spec.VolumeAttributesClassName),
		columns.Since(c.CreationTimestamp, now), orUnset(c.Spec.VolumeMode),
	}
}

// DefaultPersistentVolumeClaim completes a claim, or a template of one.
func DefaultPersistentVolumeClaim(c *corev1.PersistentVolumeClaim) {
	setDefault(&c.Status.Phase, corev1.ClaimPending)
	defaultClaimSpec(&c.Spec)
	roundUp(&c.Status.Capacity)
	roundUp(&c.Status.AllocatedResources)
}

func prepareClaimCreate(_ *resource.Request, c *corev1.PersistentVolumeClaim) {
	c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
	dropForeignSource(&c.Spec, nil)
	dropUnknownSource(&c.Spec, nil)
	agreeOnSources(&c.Spec)
}

func prepareClaimUpdate(_ *resource.Request, c, old *corev1.PersistentVolumeClaim) {
	c.Status = old.Status
	dropForeignSource(&c.Spec, &old.Spec)
	dropUnknownSource(&c.Spec, &old.Spec)
	// A claim stored before both fields were kept alike has only one of them:
	// it must not seem changed when it gets the other.
	if check.Equal(c.Spec.DataSource, old.Spec.DataSource) && check.Equal(c.Spec.DataSourceRef, old.Spec.DataSourceRef) {
		return
	}
	agreeOnSources(&c.Spec)
}

// dropForeignSource: a source in another namespace is a feature that is off by
// default.
func dropForeignSource(s, old *corev1.PersistentVolumeClaimSpec) {
	if old != nil && old.DataSourceRef != nil {
		return
	}
	if r := s.DataSourceRef; r != nil && r.Namespace != nil && *r.Namespace != "" {
		s.DataSourceRef = nil
	}
}

// dropUnknownSource: in the older of the two fields anything but a claim or a
// snapshot has always been ignored. Who writes the newer one wants it to count.
func dropUnknownSource(s, old *corev1.PersistentVolumeClaimSpec) {
	if s.DataSource == nil || s.DataSourceRef != nil || old != nil && (old.DataSource != nil || old.DataSourceRef != nil) {
		return
	}
	group := ptr.Deref(s.DataSource.APIGroup, "")
	if s.DataSource.Kind == "PersistentVolumeClaim" && group == "" || s.DataSource.Kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io" {
		return
	}
	s.DataSource = nil
}

// agreeOnSources fills in the one of the two fields for a data source that is
// not set.
func agreeOnSources(s *corev1.PersistentVolumeClaimSpec) {
	switch {
	case s.DataSource != nil && s.DataSourceRef == nil:
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: s.DataSource.APIGroup, Kind: s.DataSource.Kind, Name: s.DataSource.Name}
	case s.DataSource == nil && s.DataSourceRef != nil && (s.DataSourceRef.Namespace == nil || *s.DataSourceRef.Namespace == ""):
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: s.DataSourceRef.APIGroup, Kind: s.DataSourceRef.Kind, Name: s.DataSourceRef.Name}
	}
}

func claimWarnings(c, _ *corev1.PersistentVolumeClaim) []string {
	w := &warner{}
	w.claim(c.Annotations, &c.Spec, nil)
	return w.list
}
