package core

import (
	"fmt"
	"path"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

func validatePersistentVolume(pv *corev1.PersistentVolume) field.ErrorList {
	return validatePersistentVolumeSpec(&pv.Spec, pv.Name, false, specPath)
}

// validatePersistentVolumeSpec: with anyValue, values that no node label can
// have may stay in the node affinity.
func validatePersistentVolumeSpec(s *corev1.PersistentVolumeSpec, name string, anyValue bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), ""))
	}
	errs = append(errs, validateAccessModes(s.AccessModes, at.Child("accessModes"))...)
	capacity := at.Child("capacity")
	if len(s.Capacity) == 0 {
		errs = append(errs, field.Required(capacity, ""))
	}
	if _, ok := s.Capacity[corev1.ResourceStorage]; !ok || len(s.Capacity) > 1 {
		errs = append(errs, field.NotSupported(capacity, s.Capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, r := range sortedKeys(s.Capacity) {
		errs = append(errs, validateBasicQuantity(s.Capacity[r], capacity.Key(string(r)))...)
		errs = append(errs, check.QuantityPositive(s.Capacity[r], capacity.Key(string(r)))...)
	}
	if p := s.PersistentVolumeReclaimPolicy; p != "" {
		errs = append(errs, check.OneOf(p, []corev1.PersistentVolumeReclaimPolicy{corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain}, at.Child("persistentVolumeReclaimPolicy"))...)
	}
	if a := s.NodeAffinity; a != nil {
		if a.Required == nil {
			errs = append(errs, field.Required(at.Child("nodeAffinity", "required"), "must specify required node constraints"))
		} else {
			errs = append(errs, check.NodeSelector(a.Required, anyValue, at.Child("nodeAffinity", "required"))...)
		}
	}
	errs = append(errs, oneSource(persistentSources(s, name, at), at)...)
	if s.HostPath != nil && path.Clean(s.HostPath.Path) == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(at.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
	}
	if c := s.StorageClassName; c != "" {
		errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(c, false), c, at.Child("storageClassName"))...)
	}
	if s.VolumeMode != nil {
		errs = append(errs, check.OneOf(*s.VolumeMode, volumeModes, at.Child("volumeMode"))...)
	}
	if c := s.VolumeAttributesClassName; c != nil {
		at := at.Child("volumeAttributesClassName")
		if *c == "" {
			errs = append(errs, field.Required(at, "an empty string is disallowed"))
		} else {
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*c, false), *c, at)...)
		}
		if s.CSI == nil {
			errs = append(errs, field.Required(specPath.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	return errs
}

func persistentSources(s *corev1.PersistentVolumeSpec, name string, top *field.Path) []source {
	secret := func(name, namespace string, at *field.Path) field.ErrorList {
		at = at.Child("secretRef")
		return append(required(at, "name", name), required(at, "namespace", namespace)...)
	}
	return []source{
		{"hostPath", s.HostPath != nil, func(at *field.Path) field.ErrorList { return validateHostPath(s.HostPath, at) }},
		{"gcePersistentDisk", s.GCEPersistentDisk != nil, func(*field.Path) field.ErrorList {
			return validateGCEDisk(s.GCEPersistentDisk, top.Child("persistentDisk"))
		}},
		{"awsElasticBlockStore", s.AWSElasticBlockStore != nil, func(at *field.Path) field.ErrorList { return validateAWSDisk(s.AWSElasticBlockStore, at) }},
		{"glusterfs", s.Glusterfs != nil, func(at *field.Path) field.ErrorList { return validateGlusterfsPersistent(s.Glusterfs, at) }},
		{"flocker", s.Flocker != nil, func(at *field.Path) field.ErrorList { return validateFlocker(s.Flocker, at) }},
		{"nfs", s.NFS != nil, func(at *field.Path) field.ErrorList { return validateNFS(s.NFS, at) }},
		{"rbd", s.RBD != nil, func(at *field.Path) field.ErrorList { return validateRBD(s.RBD.CephMonitors, s.RBD.RBDImage, at) }},
		{"quobyte", s.Quobyte != nil, func(at *field.Path) field.ErrorList { return validateQuobyte(s.Quobyte, at) }},
		{"cephFS", s.CephFS != nil, func(*field.Path) field.ErrorList {
			return requiredList(top.Child("cephfs"), "monitors", s.CephFS.Monitors)
		}},
		{"iscsi", s.ISCSI != nil, func(at *field.Path) field.ErrorList { return validateISCSIPersistent(s.ISCSI, name, at) }},
		{"cinder", s.Cinder != nil, func(at *field.Path) field.ErrorList {
			errs := required(at, "volumeID", s.Cinder.VolumeID)
			if r := s.Cinder.SecretRef; r != nil {
				errs = append(errs, secret(r.Name, r.Namespace, at)...)
			}
			return errs
		}},
		{"fc", s.FC != nil, func(at *field.Path) field.ErrorList { return validateFC(s.FC, at) }},
		{"flexVolume", s.FlexVolume != nil, func(at *field.Path) field.ErrorList {
			return validateFlex(s.FlexVolume.Driver, s.FlexVolume.Options, at)
		}},
		{"azureFile", s.AzureFile != nil, func(at *field.Path) field.ErrorList {
			errs := append(required(at, "secretName", s.AzureFile.SecretName), required(at, "shareName", s.AzureFile.ShareName)...)
			if n := s.AzureFile.SecretNamespace; n != nil {
				errs = append(errs, required(at, "secretNamespace", *n)...)
			}
			return errs
		}},
		{"vsphereVolume", s.VsphereVolume != nil, func(at *field.Path) field.ErrorList {
			return required(at, "volumePath", s.VsphereVolume.VolumePath)
		}},
		{"photonPersistentDisk", s.PhotonPersistentDisk != nil, func(at *field.Path) field.ErrorList {
			return required(at, "pdID", s.PhotonPersistentDisk.PdID)
		}},
		{"portworxVolume", s.PortworxVolume != nil, func(at *field.Path) field.ErrorList {
			return required(at, "volumeID", s.PortworxVolume.VolumeID)
		}},
		{"azureDisk", s.AzureDisk != nil, func(at *field.Path) field.ErrorList { return validateAzureDisk(s.AzureDisk, at) }},
		{"scaleIO", s.ScaleIO != nil, func(at *field.Path) field.ErrorList {
			return validateScaleIO(s.ScaleIO.Gateway, s.ScaleIO.System, s.ScaleIO.VolumeName, at)
		}},
		{"local", s.Local != nil, func(at *field.Path) field.ErrorList {
			errs := validateLocal(s.Local, at)
			if s.NodeAffinity == nil || s.NodeAffinity.Required == nil {
				errs = append(errs, field.Required(top.Child("nodeAffinity"), "Local volume requires node affinity"))
			}
			return errs
		}},
		{"storageos", s.StorageOS != nil, func(at *field.Path) field.ErrorList {
			errs := validateStorageOS(s.StorageOS.VolumeName, s.StorageOS.VolumeNamespace, at)
			if r := s.StorageOS.SecretRef; r != nil {
				errs = append(errs, secret(r.Name, r.Namespace, at)...)
			}
			return errs
		}},
		{"csi", s.CSI != nil, func(at *field.Path) field.ErrorList { return validateCSIPersistent(s.CSI, at) }},
	}
}

func validatePersistentVolumeUpdate(pv, old *corev1.PersistentVolume) field.ErrorList {
	anyValue := old.Spec.NodeAffinity != nil && old.Spec.NodeAffinity.Required != nil &&
		len(check.NodeSelector(old.Spec.NodeAffinity.Required, false, field.NewPath(""))) > 0
	errs := validatePersistentVolumeSpec(&pv.Spec, pv.Name, anyValue, specPath)
	source := pv.Spec.PersistentVolumeSource
	if o, n := old.Spec.CSI, source.CSI; o != nil && o.ControllerExpandSecretRef == nil && n != nil && n.ControllerExpandSecretRef != nil {
		// This one may be added later.
		csi := *n
		csi.ControllerExpandSecretRef = nil
		source.CSI = &csi
	}
	if !check.Equal(source, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(specPath.Child("persistentvolumesource"),
			fmt.Sprintf("spec.persistentvolumesource is immutable after creation\n%v", cmp.Diff(old.Spec.PersistentVolumeSource, source))))
	}
	errs = append(errs, check.Unchanged(pv.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if was := old.Spec.NodeAffinity; was != nil && !check.Equal(pv.Spec.NodeAffinity, renamedLabels(was, pv.Spec.NodeAffinity)) {
		errs = append(errs, field.Invalid(field.NewPath("nodeAffinity"), pv.Spec.NodeAffinity, check.Immutable+", except for updating from beta label to GA"))
	}
	if old.Spec.VolumeAttributesClassName != nil && pv.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(specPath.Child("volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
	}
	return errs
}

// renamedNodeLabels are the present names of labels of nodes.
var renamedNodeLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
}

// renamedLabels returns was with the old names of labels replaced wherever now
// has the new one in the same place.
func renamedLabels(was, now *corev1.VolumeNodeAffinity) *corev1.VolumeNodeAffinity {
	if was.Required == nil || now == nil || now.Required == nil || len(was.Required.NodeSelectorTerms) != len(now.Required.NodeSelectorTerms) {
		return was
	}
	out := was.DeepCopy()
	for i := range out.Required.NodeSelectorTerms {
		o, n := out.Required.NodeSelectorTerms[i].MatchExpressions, now.Required.NodeSelectorTerms[i].MatchExpressions
		for j := range o {
			if j < len(n) && o[j].Key != n[j].Key && renamedNodeLabels[o[j].Key] == n[j].Key {
				o[j].Key = n[j].Key
			}
		}
	}
	return out
}

func validatePersistentVolumeStatus(pv, _ *corev1.PersistentVolume) field.ErrorList {
	if pv.ResourceVersion == "" {
		return field.ErrorList{field.Required(field.NewPath("resourceVersion"), "")}
	}
	return nil
}
