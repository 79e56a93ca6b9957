package storage

import (
	"math"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// Limits of what an attacher reports.
const (
	maxVolumeErrorMessage = 1024
	maxAttachmentMetadata = 256 << 10
)

// VolumeAttachment is the row of volume attachments: a volume that is to be, or
// is, attached to a node.
func VolumeAttachment() *resource.Definition {
	spec := storagev1.VolumeAttachmentSpec{}.SwaggerDoc()
	return resource.Row[*storagev1.VolumeAttachment]{
		Storage:                storagev1.SchemeGroupVersion,
		Kind:                   "VolumeAttachment",
		Plural:                 "volumeattachments",
		ClusterScoped:          true,
		RequireResourceVersion: true,
		New:                    func() *storagev1.VolumeAttachment { return new(storagev1.VolumeAttachment) },
		NewList:                func() runtime.Object { return new(storagev1.VolumeAttachmentList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default: func(a *storagev1.VolumeAttachment) {
			if s := a.Spec.Source.InlineVolumeSpec; s != nil {
				core.DefaultInlineVolumeSpec(s)
			}
		},
		PrepareCreate: func(_ *resource.Request, a *storagev1.VolumeAttachment) {
			a.Status = storagev1.VolumeAttachmentStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, a, old *storagev1.VolumeAttachment) {
			a.Status = *old.Status.DeepCopy()
		},
		Validate:       validateVolumeAttachment,
		ValidateUpdate: validateVolumeAttachmentUpdate,
		Updates: map[string]resource.Update[*storagev1.VolumeAttachment]{
			"status": {
				Restored: []string{"metadata"},
				PrepareUpdate: func(_ *resource.Request, a, old *storagev1.VolumeAttachment) {
					a.Spec = *old.Spec.DeepCopy()
					metav1.ResetObjectMetaForStatus(a, old.DeepCopy())
				},
				ValidateUpdate: validateVolumeAttachmentUpdate,
			},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			{Name: "Attacher", Type: "string", Format: "name", Description: spec["attacher"]},
			columns.String("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"]),
			columns.String("Node", spec["nodeName"]),
			columns.Boolean("Attached", storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"]),
			columns.Age(),
		},
		Cells: func(a *storagev1.VolumeAttachment, now time.Time) []any {
			return []any{
				a.Name, a.Spec.Attacher, ptr.Deref(a.Spec.Source.PersistentVolumeName, ""), a.Spec.NodeName,
				a.Status.Attached, columns.Since(a.CreationTimestamp, now),
			}
		},
	}.Define()
}

func validateVolumeAttachment(a *storagev1.VolumeAttachment) field.ErrorList {
	spec, status := field.NewPath("spec"), field.NewPath("status")
	errs := check.CSIDriverName(a.Spec.Attacher, spec.Child("attacher"))
	errs = append(errs, validateSource(&a.Spec.Source, spec.Child("source"))...)
	errs = append(errs, check.NodeName(a.Spec.NodeName, spec.Child("nodeName"))...)
	errs = append(errs, validateAttachmentMetadata(a.Status.AttachmentMetadata, status.Child("attachmentMetadata"))...)
	errs = append(errs, validateVolumeError(a.Status.AttachError, status.Child("attachError"))...)
	errs = append(errs, validateVolumeError(a.Status.DetachError, status.Child("detachError"))...)
	if pv := a.Spec.Source.PersistentVolumeName; pv != nil {
		errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*pv, false), *pv, field.NewPath("spec.source.persistentVolumeName"))...)
	}
	return errs
}

// validateVolumeAttachmentUpdate: an attachment is made and removed, never
// moved.
func validateVolumeAttachmentUpdate(a, old *storagev1.VolumeAttachment) field.ErrorList {
	errs := validateVolumeAttachment(a)
	if !check.Equal(&a.Spec, &old.Spec) {
		errs = append(errs, field.Invalid(field.NewPath("spec"), check.GoForm{Value: a.Spec}, "field is immutable"))
	}
	return errs
}

func validateSource(s *storagev1.VolumeAttachmentSource, at *field.Path) field.ErrorList {
	switch {
	case s.InlineVolumeSpec == nil && s.PersistentVolumeName == nil:
		return field.ErrorList{field.Required(at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")}
	case s.InlineVolumeSpec != nil && s.PersistentVolumeName != nil:
		return field.ErrorList{field.Forbidden(at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")}
	case s.PersistentVolumeName != nil:
		if *s.PersistentVolumeName == "" {
			return field.ErrorList{field.Required(at.Child("persistentVolumeName"), "must specify non empty persistentVolumeName")}
		}
		return nil
	}
	return core.ValidateInlineVolumeSpec(s.InlineVolumeSpec, at.Child("inlineVolumeSpec"))
}

func validateAttachmentMetadata(m map[string]string, at *field.Path) field.ErrorList {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
	}
	if size > maxAttachmentMetadata {
		return field.ErrorList{field.TooLong(at, "" /* not shown */, maxAttachmentMetadata)}
	}
	return nil
}

func validateVolumeError(e *storagev1.VolumeError, at *field.Path) field.ErrorList {
	if e == nil {
		return nil
	}
	var errs field.ErrorList
	if len(e.Message) > maxVolumeErrorMessage {
		// The message names the other limit, as it always did.
		errs = append(errs, field.TooLong(at.Child("message"), "" /* not shown */, maxAttachmentMetadata))
	}
	if c := e.ErrorCode; c != nil && *c < 0 {
		errs = append(errs, field.Invalid(at.Child("errorCode"), *c, validation.InclusiveRangeError(0, math.MaxInt32)))
	}
	return errs
}
