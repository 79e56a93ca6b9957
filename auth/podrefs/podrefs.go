// Package podrefs finds the objects that a pod names in its spec. Who decides
// what a node or an account may read by them (the node authorizer, and the
// admission plugins ServiceAccount and NodeRestriction) looks here, so that a
// new field is added in one place.
package podrefs

import corev1 "k8s.io/api/core/v1"

// Containers calls visit with every container of the pod, whatever its kind.
// The fields that ephemeral containers do not have are empty.
func Containers(spec *corev1.PodSpec, visit func(c *corev1.Container)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		visit(&c)
	}
}

// Secrets calls visit with the name of every secret that the pod names. A name
// may come more than once.
func Secrets(spec *corev1.PodSpec, visit func(name string)) {
	for _, r := range spec.ImagePullSecrets {
		visit(r.Name)
	}
	Containers(spec, func(c *corev1.Container) {
		for _, e := range c.EnvFrom {
			if e.SecretRef != nil {
				visit(e.SecretRef.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				visit(e.ValueFrom.SecretKeyRef.Name)
			}
		}
	})
	for i := range spec.Volumes {
		volumeSecrets(&spec.Volumes[i].VolumeSource, visit)
	}
}

func volumeSecrets(v *corev1.VolumeSource, visit func(name string)) {
	local := func(r *corev1.LocalObjectReference) {
		if r != nil {
			visit(r.Name)
		}
	}
	switch {
	case v.Secret != nil:
		visit(v.Secret.SecretName)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				visit(s.Secret.Name)
			}
		}
	case v.AzureFile != nil:
		if v.AzureFile.SecretName != "" {
			visit(v.AzureFile.SecretName)
		}
	case v.CephFS != nil:
		local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		local(v.StorageOS.SecretRef)
	case v.CSI != nil:
		local(v.CSI.NodePublishSecretRef)
	}
}

// ConfigMaps calls visit with the name of every config map that the pod names.
func ConfigMaps(spec *corev1.PodSpec, visit func(name string)) {
	Containers(spec, func(c *corev1.Container) {
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil {
				visit(e.ConfigMapRef.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				visit(e.ValueFrom.ConfigMapKeyRef.Name)
			}
		}
	})
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.ConfigMap != nil {
			visit(v.ConfigMap.Name)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					visit(s.ConfigMap.Name)
				}
			}
		}
	}
}

// Claims calls visit with the name of every persistent volume claim that the
// pod uses, those that are made for it included.
func Claims(pod *corev1.Pod, visit func(name string)) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil {
			visit(v.PersistentVolumeClaim.ClaimName)
		} else if v.Ephemeral != nil {
			visit(pod.Name + "-" + v.Name)
		}
	}
}

// ResourceClaims calls visit with the name of every resource claim that the
// pod uses, as far as those made for it exist yet.
func ResourceClaims(pod *corev1.Pod, visit func(name string)) {
	for i := range pod.Spec.ResourceClaims {
		c := &pod.Spec.ResourceClaims[i]
		if c.ResourceClaimName != nil {
			visit(*c.ResourceClaimName)
			continue
		}
		for _, s := range pod.Status.ResourceClaimStatuses {
			if s.Name == c.Name && s.ResourceClaimName != nil {
				visit(*s.ResourceClaimName)
			}
		}
	}
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil && s.ResourceClaimName != "" {
		visit(s.ResourceClaimName)
	}
}

// IsMirror reports whether a pod only shows what a node runs of its own.
func IsMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}
