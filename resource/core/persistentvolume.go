package core

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/resource"
	"proa/resource/columns"
)

// PersistentVolume is the row of persistent volumes.
func PersistentVolume() *resource.Definition {
	spec, status := corev1.PersistentVolumeSpec{}.SwaggerDoc(), corev1.PersistentVolumeStatus{}.SwaggerDoc()
	return resource.Row[*corev1.PersistentVolume]{
		Storage:        corev1.SchemeGroupVersion,
		Kind:           "PersistentVolume",
		Plural:         "persistentvolumes",
		ShortNames:     []string{"pv"},
		ClusterScoped:  true,
		New:            func() *corev1.PersistentVolume { return new(corev1.PersistentVolume) },
		NewList:        func() runtime.Object { return new(corev1.PersistentVolumeList) },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		Default:        defaultPersistentVolume,
		PrepareCreate:  preparePersistentVolumeCreate,
		PrepareUpdate:  func(_ *resource.Request, pv, old *corev1.PersistentVolume) { pv.Status = old.Status },
		Validate:       validatePersistentVolume,
		ValidateUpdate: validatePersistentVolumeUpdate,
		Warnings:       persistentVolumeWarnings,
		Updates: map[string]resource.Update[*corev1.PersistentVolume]{
			"status": {
				PrepareUpdate:  preparePersistentVolumeStatus,
				ValidateUpdate: validatePersistentVolumeStatus,
			},
		},
		Fields: func(pv *corev1.PersistentVolume) map[string]string {
			return map[string]string{"name": pv.Name}
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Capacity", spec["capacity"]),
			columns.String("Access Modes", spec["accessModes"]),
			columns.String("Reclaim Policy", spec["persistentVolumeReclaimPolicy"]),
			columns.String("Status", status["phase"]),
			columns.String("Claim", spec["claimRef"]),
			columns.String("StorageClass", "Name of StorageClass to which this persistent volume belongs."),
			columns.String("VolumeAttributesClass", "Name of VolumeAttributesClass to which this persistent volume belongs."),
			columns.String("Reason", status["reason"]),
			columns.Age(),
			columns.Wide(columns.String("VolumeMode", spec["volumeMode"])),
		},
		Cells: func(pv *corev1.PersistentVolume, now time.Time) []any {
			claim := ""
			if r := pv.Spec.ClaimRef; r != nil {
				claim = r.Namespace + "/" + r.Name
			}
			size := pv.Spec.Capacity[corev1.ResourceStorage]
			phase := string(pv.Status.Phase)
			if pv.DeletionTimestamp != nil {
				phase = "Terminating"
			}
			class := pv.Spec.StorageClassName
			if legacy, ok := pv.Annotations[corev1.BetaStorageClassAnnotation]; ok {
				class = legacy
			}
			return []any{
				pv.Name, size.String(), accessModesCell(pv.Spec.AccessModes), string(pv.Spec.PersistentVolumeReclaimPolicy), phase, claim,
				class, orUnset(pv.Spec.VolumeAttributesClassName), pv.Status.Reason, columns.Since(pv.CreationTimestamp, now), orUnset(pv.Spec.VolumeMode),
			}
		},
	}.Define()
}

func orUnset[T ~string](p *T) string {
	if p == nil {
		return columns.Unset
	}
	return string(*p)
}

// accessModesCell abbreviates access modes, in an order of their own.
func accessModesCell(modes []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{
		{corev1.ReadWriteOnce, "RWO"},
		{corev1.ReadOnlyMany, "ROX"},
		{corev1.ReadWriteMany, "RWX"},
		{corev1.ReadWriteOncePod, "RWOP"},
	} {
		for _, have := range modes {
			if have == m.mode {
				out = append(out, m.short)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

func defaultPersistentVolume(pv *corev1.PersistentVolume) {
	s := &pv.Spec
	setDefault(&pv.Status.Phase, corev1.VolumePending)
	setDefault(&s.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	setPointer(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
	DefaultInlineVolumeSpec(s)
}

// DefaultInlineVolumeSpec fills in what the source of a volume leaves out, also
// where the volume stands in another object.
func DefaultInlineVolumeSpec(s *corev1.PersistentVolumeSpec) {
	roundUp(&s.Capacity)
	if s.HostPath != nil {
		defaultHostPath(s.HostPath)
	}
	if s.ISCSI != nil {
		setDefault(&s.ISCSI.ISCSIInterface, "default")
	}
	if s.RBD != nil {
		defaultRBD(&s.RBD.RBDPool, &s.RBD.RadosUser, &s.RBD.Keyring)
	}
	if s.AzureDisk != nil {
		defaultAzureDisk(s.AzureDisk)
	}
	if s.ScaleIO != nil {
		defaultScaleIO(&s.ScaleIO.StorageMode, &s.ScaleIO.FSType)
	}
}

func preparePersistentVolumeCreate(req *resource.Request, pv *corev1.PersistentVolume) {
	now := req.Now
	pv.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
}

// preparePersistentVolumeStatus notes when the phase changed, unless the client
// says when.
func preparePersistentVolumeStatus(req *resource.Request, pv, old *corev1.PersistentVolume) {
	pv.Spec = old.Spec
	at := pv.Status.LastPhaseTransitionTime
	if pv.Status.Phase == old.Status.Phase {
		if at == nil {
			pv.Status.LastPhaseTransitionTime = old.Status.LastPhaseTransitionTime
		}
		return
	}
	if at == nil || at.Equal(old.Status.LastPhaseTransitionTime) {
		now := req.Now
		pv.Status.LastPhaseTransitionTime = &now
	}
}

func persistentVolumeWarnings(pv, _ *corev1.PersistentVolume) []string {
	w := &warner{}
	s := &pv.Spec
	if _, ok := pv.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		w.add(metaPath.Child("annotations").Key(corev1.BetaStorageClassAnnotation), `deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	for _, a := range []struct{ key, message string }{
		{"volume.alpha.kubernetes.io/storage-class", `deprecated since v1.8; use "storageClassName" attribute instead`},
		{corev1.MountOptionAnnotation, `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, ok := pv.Annotations[a.key]; ok {
			w.add(metaPath.Child("annotations").Key(a.key), "%s", a.message)
		}
	}
	switch s.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimRecycle:
		w.add(specPath.Child("persistentVolumeReclaimPolicy"), `The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.`)
	}
	w.volume(&corev1.Volume{VolumeSource: corev1.VolumeSource{
		PhotonPersistentDisk: s.PhotonPersistentDisk,
	}}, specPath)
	for _, p := range []struct {
		set           bool
		name, message string
	}{
		{s.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
		{s.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
		{s.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		{s.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
		{s.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
	} {
		if p.set {
			w.add(specPath.Child(p.name), "%s", p.message)
		}
	}
	return w.list
}
