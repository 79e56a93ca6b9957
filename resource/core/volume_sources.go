package core

import (
	"net"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// Rules for the sources of volumes that lie outside the cluster. Most name a
// plugin that no longer exists; objects that use them are still accepted.

const maxByte = 255

func validatePartition(p int32, at *field.Path) field.ErrorList {
	if p < 0 || p > maxByte {
		// The message has always promised less than the rule lets through.
		return field.ErrorList{field.Invalid(at.Child("partition"), p, validation.InclusiveRangeError(1, maxByte))}
	}
	return nil
}

func validateGCEDisk(d *corev1.GCEPersistentDiskVolumeSource, at *field.Path) field.ErrorList {
	return append(required(at, "pdName", d.PDName), validatePartition(d.Partition, at)...)
}

func validateAWSDisk(d *corev1.AWSElasticBlockStoreVolumeSource, at *field.Path) field.ErrorList {
	return append(required(at, "volumeID", d.VolumeID), validatePartition(d.Partition, at)...)
}

var (
	iscsiIQN = regexp.MustCompile(`^iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`)
	iscsiEUI = regexp.MustCompile(`^eui\.[[:alnum:]]{16}$`)
	iscsiNAA = regexp.MustCompile(`^naa\.[[:alnum:]]{32}$`)
)

// validateISCSIName is the rule for qualified names of targets and initiators.
// What is said of a name of no known sort differs.
func validateISCSIName(name, unknown string, at *field.Path) field.ErrorList {
	var form *regexp.Regexp
	switch {
	case strings.HasPrefix(name, "iqn"):
		form = iscsiIQN
	case strings.HasPrefix(name, "eui"):
		form = iscsiEUI
	case strings.HasPrefix(name, "naa"):
		form = iscsiNAA
	default:
		return field.ErrorList{field.Invalid(at, name, unknown)}
	}
	if !form.MatchString(name) {
		return field.ErrorList{field.Invalid(at, name, "must be valid format")}
	}
	return nil
}

func validateLUN(lun int32, at *field.Path) field.ErrorList {
	if lun < 0 || lun > maxByte {
		return field.ErrorList{field.Invalid(at.Child("lun"), lun, validation.InclusiveRangeError(0, maxByte))}
	}
	return nil
}

func validateISCSI(s *corev1.ISCSIVolumeSource, at *field.Path) field.ErrorList {
	const unknown = "must be valid format starting with iqn, eui, or naa"
	errs := required(at, "targetPortal", s.TargetPortal)
	if s.IQN == "" {
		errs = append(errs, field.Required(at.Child("iqn"), ""))
	} else {
		errs = append(errs, validateISCSIName(s.IQN, unknown, at.Child("iqn"))...)
	}
	errs = append(errs, validateLUN(s.Lun, at)...)
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		errs = append(errs, field.Required(at.Child("secretRef"), ""))
	}
	if s.InitiatorName != nil {
		errs = append(errs, validateISCSIName(*s.InitiatorName, unknown, at.Child("initiatorname"))...)
	}
	return errs
}

func validateISCSIPersistent(s *corev1.ISCSIPersistentVolumeSource, volume string, at *field.Path) field.ErrorList {
	const unknown = "must be valid format"
	errs := required(at, "targetPortal", s.TargetPortal)
	if s.InitiatorName != nil && len(volume+":"+s.TargetPortal) > 64 {
		errs = append(errs, field.Invalid(at.Child("targetportal"), s.TargetPortal,
			"Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."))
	}
	if s.IQN == "" {
		errs = append(errs, field.Required(at.Child("iqn"), ""))
	} else {
		errs = append(errs, validateISCSIName(s.IQN, unknown, at.Child("iqn"))...)
	}
	errs = append(errs, validateLUN(s.Lun, at)...)
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		errs = append(errs, field.Required(at.Child("secretRef"), ""))
	}
	if s.SecretRef != nil {
		errs = append(errs, required(at.Child("secretRef"), "name", s.SecretRef.Name)...)
	}
	if s.InitiatorName != nil {
		errs = append(errs, validateISCSIName(*s.InitiatorName, unknown, at.Child("initiatorname"))...)
	}
	return errs
}

func validateFC(f *corev1.FCVolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := at.Child("targetWWNs")
	if len(f.TargetWWNs) == 0 && len(f.WWIDs) == 0 {
		errs = append(errs, field.Required(names, "must specify either targetWWNs or wwids, but not both"))
	}
	if len(f.TargetWWNs) != 0 && len(f.WWIDs) != 0 {
		errs = append(errs, field.Invalid(names, f.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously"))
	}
	if len(f.TargetWWNs) != 0 {
		if f.Lun == nil {
			errs = append(errs, field.Required(at.Child("lun"), "lun is required if targetWWNs is specified"))
		} else {
			errs = append(errs, validateLUN(*f.Lun, at)...)
		}
	}
	return errs
}

func validateRBD(monitors []string, image string, at *field.Path) field.ErrorList {
	return append(requiredList(at, "monitors", monitors), required(at, "image", image)...)
}

func validateScaleIO(gateway, system, volume string, at *field.Path) field.ErrorList {
	errs := append(required(at, "gateway", gateway), required(at, "system", system)...)
	return append(errs, required(at, "volumeName", volume)...)
}

func validateStorageOS(volume, namespace string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if volume == "" {
		errs = append(errs, field.Required(at.Child("volumeName"), ""))
	} else {
		errs = append(errs, check.Label(volume, at.Child("volumeName"))...)
	}
	if namespace != "" {
		errs = append(errs, check.Label(namespace, at.Child("volumeNamespace"))...)
	}
	return errs
}

func validateFlocker(f *corev1.FlockerVolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if f.DatasetName == "" && f.DatasetUUID == "" {
		errs = append(errs, field.Required(at, "one of datasetName and datasetUUID is required"))
	}
	if f.DatasetName != "" && f.DatasetUUID != "" {
		errs = append(errs, field.Invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
	}
	if strings.Contains(f.DatasetName, "/") {
		errs = append(errs, field.Invalid(at.Child("datasetName"), f.DatasetName, "must not contain '/'"))
	}
	return errs
}

func validateQuobyte(q *corev1.QuobyteVolumeSource, at *field.Path) field.ErrorList {
	const pairs = "must be a host:port pair or multiple pairs separated by commas"
	var errs field.ErrorList
	switch {
	case q.Registry == "":
		errs = append(errs, field.Required(at.Child("registry"), pairs))
	case len(q.Tenant) >= 65:
		errs = append(errs, field.Required(at.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters"))
	default:
		for pair := range strings.SplitSeq(q.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				errs = append(errs, field.Invalid(at.Child("registry"), q.Registry, pairs))
			}
		}
	}
	return append(errs, required(at, "volume", q.Volume)...)
}

// validateFlex keeps the system's own namespaces out of a driver's options.
func validateFlex(driver string, options map[string]string, at *field.Path) field.ErrorList {
	errs := required(at, "driver", driver)
	for _, k := range sortedKeys(options) {
		namespace, _, _ := strings.Cut(k, "/")
		n := "." + strings.ToLower(namespace)
		if strings.HasSuffix(n, ".kubernetes.io") || strings.HasSuffix(n, ".k8s.io") {
			errs = append(errs, field.Invalid(at.Child("options").Key(k), k, "kubernetes.io and k8s.io namespaces are reserved"))
		}
	}
	return errs
}

func validateAzureDisk(d *corev1.AzureDiskVolumeSource, at *field.Path) field.ErrorList {
	errs := append(required(at, "diskName", d.DiskName), required(at, "diskURI", d.DataDiskURI)...)
	if m := d.CachingMode; m != nil {
		errs = append(errs, check.OneOf(*m, []corev1.AzureDataDiskCachingMode{corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite}, at.Child("cachingMode"))...)
	}
	if d.Kind == nil {
		return errs
	}
	errs = append(errs, check.OneOf(*d.Kind, []corev1.AzureDataDiskKind{corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk, corev1.AzureSharedBlobDisk}, at.Child("kind"))...)
	managed := *d.Kind == corev1.AzureManagedDisk
	if managed && !strings.HasPrefix(d.DataDiskURI, "/subscriptions/") {
		errs = append(errs, field.NotSupported(at.Child("diskURI"), d.DataDiskURI, []string{"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"}))
	}
	if !managed && !strings.HasPrefix(d.DataDiskURI, "https://") {
		errs = append(errs, field.NotSupported(at.Child("diskURI"), d.DataDiskURI, []string{"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"}))
	}
	return errs
}

// validateSecretReference is a reference from a cluster scoped object.
func validateSecretReference(r *corev1.SecretReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else {
		errs = append(errs, check.Subdomain(r.Name, at.Child("name"))...)
	}
	if r.Namespace == "" {
		return append(errs, field.Required(at.Child("namespace"), ""))
	}
	return append(errs, check.Label(r.Namespace, at.Child("namespace"))...)
}

func validateCSIPersistent(c *corev1.CSIPersistentVolumeSource, at *field.Path) field.ErrorList {
	errs := check.CSIDriverName(c.Driver, at.Child("driver"))
	errs = append(errs, required(at, "volumeHandle", c.VolumeHandle)...)
	for _, r := range []struct {
		name string
		ref  *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", c.ControllerPublishSecretRef},
		{"controllerExpandSecretRef", c.ControllerExpandSecretRef},
		{"nodePublishSecretRef", c.NodePublishSecretRef},
		{"nodeExpandSecretRef", c.NodeExpandSecretRef},
	} {
		if r.ref != nil {
			errs = append(errs, validateSecretReference(r.ref, at.Child(r.name))...)
		}
	}
	return errs
}

func validateGlusterfsPersistent(g *corev1.GlusterfsPersistentVolumeSource, at *field.Path) field.ErrorList {
	errs := append(required(at, "endpoints", g.EndpointsName), required(at, "path", g.Path)...)
	if n := g.EndpointsNamespace; n != nil {
		at := at.Child("endpointsNamespace")
		if *n == "" {
			errs = append(errs, field.Invalid(at, *n, "if the endpointnamespace is set, it must be a valid namespace name"))
		} else {
			errs = append(errs, check.Messages(apivalidation.ValidateNamespaceName(*n, false), *n, at)...)
		}
	}
	return errs
}

// validateLocal: a local volume is a path on the nodes that its affinity names.
func validateLocal(l *corev1.LocalVolumeSource, at *field.Path) field.ErrorList {
	if l.Path == "" {
		return field.ErrorList{field.Required(at.Child("path"), "")}
	}
	return check.PathNoBacksteps(l.Path, at.Child("path"))
}
