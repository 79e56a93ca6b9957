package core

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// validateVolumes returns the valid volumes by name beside the errors of the
// others, so that mounts of a bad one are reported too.
func validateVolumes(vs []corev1.Volume, meta *metav1.ObjectMeta, opts PodSpecOptions, at *field.Path) (map[string]*corev1.VolumeSource, field.ErrorList) {
	var errs field.ErrorList
	good := map[string]*corev1.VolumeSource{}
	made := map[string]bool{} // claims that are made for ephemeral volumes
	if meta != nil && meta.Name != "" {
		for i := range vs {
			if vs[i].Ephemeral != nil {
				made[meta.Name+"-"+vs[i].Name] = true
			}
		}
	}
	for i := range vs {
		v, at := &vs[i], at.Index(i)
		bad := validateVolumeSource(&v.VolumeSource, v.Name, meta, opts, at)
		if s := v.ISCSI; s != nil && s.InitiatorName != nil && len(v.Name+":"+s.TargetPortal) > maxISCSIName {
			bad = append(bad, field.Invalid(at.Child("name"), v.Name, "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."))
		}
		if v.Name == "" {
			bad = append(bad, field.Required(at.Child("name"), ""))
		} else {
			bad = append(bad, check.Label(v.Name, at.Child("name"))...)
		}
		if good[v.Name] != nil {
			bad = append(bad, field.Duplicate(at.Child("name"), v.Name))
		}
		if len(bad) == 0 {
			good[v.Name] = &v.VolumeSource
		}
		errs = append(errs, bad...)
		if c := v.PersistentVolumeClaim; c != nil && made[c.ClaimName] {
			errs = append(errs, field.Invalid(at.Child("persistentVolumeClaim", "claimName"), c.ClaimName, "must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return good, errs
}

// maxISCSIName is what an interface of iSCSI, which is named after a volume and its
// portal, may be called.
const maxISCSIName = 64

// source is one of the types that a volume can be of.
type source struct {
	name  string
	set   bool
	rules func(at *field.Path) field.ErrorList
}

// oneSource checks that exactly one source is set, and that one.
func oneSource(sources []source, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	for _, s := range sources {
		if !s.set {
			continue
		}
		n++
		if n > 1 {
			errs = append(errs, field.Forbidden(at.Child(s.name), "may not specify more than 1 volume type"))
			continue
		}
		errs = append(errs, s.rules(at.Child(s.name))...)
	}
	if n == 0 {
		errs = append(errs, field.Required(at, "must specify a volume type"))
	}
	return errs
}

func validateVolumeSource(v *corev1.VolumeSource, name string, meta *metav1.ObjectMeta, opts PodSpecOptions, at *field.Path) field.ErrorList {
	return oneSource([]source{
		{"emptyDir", v.EmptyDir != nil, func(at *field.Path) field.ErrorList {
			if l := v.EmptyDir.SizeLimit; l != nil && l.Sign() < 0 {
				return field.ErrorList{field.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")}
			}
			return nil
		}},
		{"hostPath", v.HostPath != nil, func(at *field.Path) field.ErrorList { return validateHostPath(v.HostPath, at) }},
		{"gitRepo", v.GitRepo != nil, func(at *field.Path) field.ErrorList {
			return append(required(at, "repository", v.GitRepo.Repository), check.LocalDescendingPath(v.GitRepo.Directory, at.Child("directory"))...)
		}},
		// Upstream calls this one differently when it is alone.
		{"gcePersistentDisk", v.GCEPersistentDisk != nil, func(*field.Path) field.ErrorList {
			return validateGCEDisk(v.GCEPersistentDisk, at.Child("persistentDisk"))
		}},
		{"awsElasticBlockStore", v.AWSElasticBlockStore != nil, func(at *field.Path) field.ErrorList { return validateAWSDisk(v.AWSElasticBlockStore, at) }},
		{"secret", v.Secret != nil, func(at *field.Path) field.ErrorList {
			return append(required(at, "secretName", v.Secret.SecretName), validateItems(v.Secret.DefaultMode, v.Secret.Items, at)...)
		}},
		{"nfs", v.NFS != nil, func(at *field.Path) field.ErrorList { return validateNFS(v.NFS, at) }},
		{"iscsi", v.ISCSI != nil, func(at *field.Path) field.ErrorList { return validateISCSI(v.ISCSI, at) }},
		{"glusterfs", v.Glusterfs != nil, func(at *field.Path) field.ErrorList {
			return append(required(at, "endpoints", v.Glusterfs.EndpointsName), required(at, "path", v.Glusterfs.Path)...)
		}},
		{"flocker", v.Flocker != nil, func(at *field.Path) field.ErrorList { return validateFlocker(v.Flocker, at) }},
		{"persistentVolumeClaim", v.PersistentVolumeClaim != nil, func(at *field.Path) field.ErrorList {
			return required(at, "claimName", v.PersistentVolumeClaim.ClaimName)
		}},
		{"rbd", v.RBD != nil, func(at *field.Path) field.ErrorList { return validateRBD(v.RBD.CephMonitors, v.RBD.RBDImage, at) }},
		{"cinder", v.Cinder != nil, func(at *field.Path) field.ErrorList {
			errs := required(at, "volumeID", v.Cinder.VolumeID)
			if r := v.Cinder.SecretRef; r != nil {
				errs = append(errs, required(at.Child("secretRef"), "name", r.Name)...)
			}
			return errs
		}},
		{"cephfs", v.CephFS != nil, func(at *field.Path) field.ErrorList { return requiredList(at, "monitors", v.CephFS.Monitors) }},
		{"quobyte", v.Quobyte != nil, func(at *field.Path) field.ErrorList { return validateQuobyte(v.Quobyte, at) }},
		{"downwardAPI", v.DownwardAPI != nil, func(at *field.Path) field.ErrorList {
			errs := validateMode(v.DownwardAPI.DefaultMode, at.Child("defaultMode"))
			for i := range v.DownwardAPI.Items {
				errs = append(errs, validateDownwardAPIFile(&v.DownwardAPI.Items[i], at)...)
			}
			return errs
		}},
		{"fc", v.FC != nil, func(at *field.Path) field.ErrorList { return validateFC(v.FC, at) }},
		{"flexVolume", v.FlexVolume != nil, func(at *field.Path) field.ErrorList {
			return validateFlex(v.FlexVolume.Driver, v.FlexVolume.Options, at)
		}},
		{"configMap", v.ConfigMap != nil, func(at *field.Path) field.ErrorList {
			return append(required(at, "name", v.ConfigMap.Name), validateItems(v.ConfigMap.DefaultMode, v.ConfigMap.Items, at)...)
		}},
		{"azureFile", v.AzureFile != nil, func(at *field.Path) field.ErrorList {
			return append(required(at, "secretName", v.AzureFile.SecretName), required(at, "shareName", v.AzureFile.ShareName)...)
		}},
		{"vsphereVolume", v.VsphereVolume != nil, func(at *field.Path) field.ErrorList {
			return required(at, "volumePath", v.VsphereVolume.VolumePath)
		}},
		{"photonPersistentDisk", v.PhotonPersistentDisk != nil, func(at *field.Path) field.ErrorList {
			return required(at, "pdID", v.PhotonPersistentDisk.PdID)
		}},
		{"portworxVolume", v.PortworxVolume != nil, func(at *field.Path) field.ErrorList {
			return required(at, "volumeID", v.PortworxVolume.VolumeID)
		}},
		{"azureDisk", v.AzureDisk != nil, func(at *field.Path) field.ErrorList { return validateAzureDisk(v.AzureDisk, at) }},
		{"storageos", v.StorageOS != nil, func(at *field.Path) field.ErrorList {
			errs := validateStorageOS(v.StorageOS.VolumeName, v.StorageOS.VolumeNamespace, at)
			if r := v.StorageOS.SecretRef; r != nil {
				errs = append(errs, required(at.Child("secretRef"), "name", r.Name)...)
			}
			return errs
		}},
		{"projected", v.Projected != nil, func(at *field.Path) field.ErrorList { return validateProjected(v.Projected, opts, at) }},
		{"scaleIO", v.ScaleIO != nil, func(at *field.Path) field.ErrorList {
			return validateScaleIO(v.ScaleIO.Gateway, v.ScaleIO.System, v.ScaleIO.VolumeName, at)
		}},
		{"csi", v.CSI != nil, func(at *field.Path) field.ErrorList {
			errs := check.CSIDriverName(v.CSI.Driver, at.Child("driver"))
			if r := v.CSI.NodePublishSecretRef; r != nil {
				if r.Name == "" {
					errs = append(errs, field.Required(at.Child("nodePublishSecretRef", "name"), ""))
				} else {
					errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(r.Name, false), r.Name, at.Child("name"))...)
				}
			}
			return errs
		}},
		{"ephemeral", v.Ephemeral != nil, func(at *field.Path) field.ErrorList {
			return validateEphemeral(v.Ephemeral, name, meta, at)
		}},
		{"image", v.Image != nil, func(at *field.Path) field.ErrorList {
			var errs field.ErrorList
			if opts.inPod {
				// A template may leave it to whoever makes the pods.
				errs = required(at, "reference", v.Image.Reference)
			}
			return append(errs, requiredOneOf(v.Image.PullPolicy, pullPolicies, at.Child("pullPolicy"))...)
		}},
	}, at)
}

func required(at *field.Path, name, value string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(at.Child(name), "")}
	}
	return nil
}

func requiredList(at *field.Path, name string, values []string) field.ErrorList {
	if len(values) == 0 {
		return field.ErrorList{field.Required(at.Child(name), "")}
	}
	return nil
}

func validateMode(mode *int32, at *field.Path) field.ErrorList {
	if mode != nil && (*mode > 0o777 || *mode < 0) {
		return field.ErrorList{field.Invalid(at, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
	}
	return nil
}

func validateItems(mode *int32, items []corev1.KeyToPath, at *field.Path) field.ErrorList {
	errs := validateMode(mode, at.Child("defaultMode"))
	for i := range items {
		errs = append(errs, validateKeyToPath(&items[i], at.Child("items").Index(i))...)
	}
	return errs
}

func validateKeyToPath(k *corev1.KeyToPath, at *field.Path) field.ErrorList {
	errs := append(required(at, "key", k.Key), required(at, "path", k.Path)...)
	errs = append(errs, check.LocalNonReservedPath(k.Path, at.Child("path"))...)
	return append(errs, validateMode(k.Mode, at.Child("mode"))...)
}

func validateDownwardAPIFile(f *corev1.DownwardAPIVolumeFile, at *field.Path) field.ErrorList {
	errs := required(at, "path", f.Path)
	errs = append(errs, check.LocalNonReservedPath(f.Path, at.Child("path"))...)
	switch {
	case f.FieldRef != nil:
		errs = append(errs, validateFieldRef(f.FieldRef, volumeFieldPaths, at.Child("fieldRef"))...)
		if f.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case f.ResourceFieldRef != nil:
		errs = append(errs, validateResourceFieldRef(f.ResourceFieldRef, true, at.Child("resourceFieldRef"))...)
	default:
		errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
	}
	return append(errs, validateMode(f.Mode, at.Child("mode"))...)
}

// validateEphemeral also checks that the claim made for the volume, which is
// named after pod and volume, can have that name.
func validateEphemeral(e *corev1.EphemeralVolumeSource, name string, meta *metav1.ObjectMeta, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t := e.VolumeClaimTemplate; t == nil {
		errs = append(errs, field.Required(at.Child("volumeClaimTemplate"), ""))
	} else {
		at := at.Child("volumeClaimTemplate")
		errs = append(errs, check.TemplateMetadata(&t.ObjectMeta, at.Child("metadata"))...)
		errs = append(errs, ValidatePersistentVolumeClaimSpec(&t.Spec, nil, at.Child("spec"))...)
	}
	if meta != nil && meta.Name != "" && len(errs) == 0 {
		claim := meta.Name + "-" + name
		for _, m := range apivalidation.NameIsDNSSubdomain(claim, false) {
			errs = append(errs, field.Invalid(at.Child("name"), name, fmt.Sprintf("PVC name %q: %v", claim, m)))
		}
	}
	return errs
}

const (
	minTokenExpiration = 10 * 60 // seconds
	maxTokenExpiration = 1 << 32
)

func validateProjected(p *corev1.ProjectedVolumeSource, opts PodSpecOptions, at *field.Path) field.ErrorList {
	errs := validateMode(p.DefaultMode, at.Child("defaultMode"))
	paths := map[string]bool{}
	once := func(path, value string) {
		if path != "" && paths[path] {
			errs = append(errs, field.Invalid(at, value, "conflicting duplicate paths"))
		}
		paths[path] = true
	}
	items := func(name string, items []corev1.KeyToPath, at *field.Path) {
		errs = append(errs, required(at, "name", name)...)
		for i := range items {
			errs = append(errs, validateKeyToPath(&items[i], at.Child("items").Index(i))...)
			once(items[i].Path, name)
		}
	}
	for i := range p.Sources {
		s, here := &p.Sources[i], at.Child("sources").Index(i)
		n := 0
		if s.Secret != nil {
			n++
			items(s.Secret.Name, s.Secret.Items, here.Child("secret"))
		}
		if s.ConfigMap != nil {
			n++
			items(s.ConfigMap.Name, s.ConfigMap.Items, here.Child("configMap"))
		}
		if s.DownwardAPI != nil {
			n++
			for j := range s.DownwardAPI.Items {
				f := &s.DownwardAPI.Items[j]
				errs = append(errs, validateDownwardAPIFile(f, here.Child("downwardAPI"))...)
				once(f.Path, f.Path)
			}
		}
		if t := s.ServiceAccountToken; t != nil {
			n++
			var seconds int64
			if t.ExpirationSeconds != nil {
				seconds = *t.ExpirationSeconds
			}
			expiration := here.Child("serviceAccountToken", "expirationSeconds")
			if seconds < minTokenExpiration {
				errs = append(errs, field.Invalid(expiration, seconds, "may not specify a duration less than 10 minutes"))
			}
			if seconds > maxTokenExpiration {
				errs = append(errs, field.Invalid(expiration, seconds, "may not specify a duration larger than 2^32 seconds"))
			}
			if t.Path == "" {
				errs = append(errs, field.Required(at.Child("path"), ""))
			} else if !opts.AnyTokenPath {
				errs = append(errs, check.LocalNonReservedPath(t.Path, at.Child("path"))...)
			}
		}
		if b := s.ClusterTrustBundle; b != nil {
			n++
			errs = append(errs, validateTrustBundle(b, here.Child("clusterTrustBundle"))...)
			once(b.Path, b.Path)
		}
		if s.PodCertificate != nil {
			n++
		}
		if n > 1 {
			errs = append(errs, field.Forbidden(here, "may not specify more than 1 volume type per source"))
		}
	}
	return errs
}

func validateTrustBundle(b *corev1.ClusterTrustBundleProjection, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case b.Name != nil && b.SignerName != nil:
		errs = append(errs, field.Invalid(at, b, "only one of name and signerName may be used"))
	case b.Name != nil:
		if *b.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), "must be a valid object name"))
		}
		if b.LabelSelector != nil {
			errs = append(errs, field.Invalid(at.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified"))
		}
	case b.SignerName != nil:
		if *b.SignerName == "" {
			errs = append(errs, field.Required(at.Child("signerName"), "must be a valid signer name"))
		}
		errs = append(errs, metavalidation.ValidateLabelSelector(b.LabelSelector, metavalidation.LabelSelectorValidationOptions{}, at.Child("labelSelector"))...)
	default:
		errs = append(errs, field.Required(at, "either name or signerName must be specified"))
	}
	errs = append(errs, required(at, "path", b.Path)...)
	return append(errs, check.LocalNonReservedPath(b.Path, at.Child("path"))...)
}

func validateHostPath(h *corev1.HostPathVolumeSource, at *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(at.Child("path"), "")}
	}
	errs := check.PathNoBacksteps(h.Path, at.Child("path"))
	if h.Type != nil {
		errs = append(errs, check.OneOf(*h.Type, []corev1.HostPathType{
			corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev, corev1.HostPathDirectory,
			corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket,
		}, at.Child("type"))...)
	}
	return errs
}

func validateNFS(n *corev1.NFSVolumeSource, at *field.Path) field.ErrorList {
	errs := append(required(at, "server", n.Server), required(at, "path", n.Path)...)
	if !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(at.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}
