package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

const (
	defaultFileMode        = 0o644
	defaultTokenExpiration = 60 * 60 // seconds
	defaultCertExpiration  = 24 * 60 * 60
)

func defaultVolume(v *corev1.Volume) {
	if v.VolumeSource == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	mode := func(m **int32) {
		if *m == nil {
			*m = ptr.To[int32](defaultFileMode)
		}
	}
	// A volume of several sources is refused for that, with all of them complete.
	s := &v.VolumeSource
	if s.Secret != nil {
		mode(&s.Secret.DefaultMode)
	}
	if s.ConfigMap != nil {
		mode(&s.ConfigMap.DefaultMode)
	}
	if s.DownwardAPI != nil {
		mode(&s.DownwardAPI.DefaultMode)
		defaultDownwardAPI(s.DownwardAPI.Items)
	}
	if s.Projected != nil {
		mode(&s.Projected.DefaultMode)
		for i := range s.Projected.Sources {
			defaultProjection(&s.Projected.Sources[i])
		}
	}
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
	if s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil {
		defaultClaimSpec(&s.Ephemeral.VolumeClaimTemplate.Spec)
	}
	if s.Image != nil && s.Image.PullPolicy == "" {
		s.Image.PullPolicy = defaultPullPolicy(s.Image.Reference)
	}
}

func defaultProjection(p *corev1.VolumeProjection) {
	if t := p.ServiceAccountToken; t != nil && t.ExpirationSeconds == nil {
		t.ExpirationSeconds = ptr.To[int64](defaultTokenExpiration)
	}
	if d := p.DownwardAPI; d != nil {
		defaultDownwardAPI(d.Items)
	}
	if c := p.PodCertificate; c != nil && c.MaxExpirationSeconds == nil {
		c.MaxExpirationSeconds = ptr.To[int32](defaultCertExpiration)
	}
}

func defaultDownwardAPI(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		defaultFieldRef(items[i].FieldRef)
	}
}

func defaultHostPath(h *corev1.HostPathVolumeSource) {
	if h.Type == nil {
		h.Type = ptr.To(corev1.HostPathUnset)
	}
}

func defaultRBD(pool, user, keyring *string) {
	setDefault(pool, "rbd")
	setDefault(user, "admin")
	setDefault(keyring, "/etc/ceph/keyring")
}

func defaultAzureDisk(d *corev1.AzureDiskVolumeSource) {
	setPointer(&d.CachingMode, corev1.AzureDataDiskCachingReadWrite)
	setPointer(&d.Kind, corev1.AzureSharedBlobDisk)
	setPointer(&d.FSType, "ext4")
	setPointer(&d.ReadOnly, false)
}

func defaultScaleIO(mode, fsType *string) {
	setDefault(mode, "ThinProvisioned")
	setDefault(fsType, "xfs")
}

func defaultClaimSpec(s *corev1.PersistentVolumeClaimSpec) {
	setPointer(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
	roundUp(&s.Resources.Limits)
	roundUp(&s.Resources.Requests)
}

// setDefault and setPointer fill in what is not set.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
