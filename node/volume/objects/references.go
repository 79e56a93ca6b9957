package objects

import (
	corev1 "k8s.io/api/core/v1"
)

// Kind is ConfigMap or Secret.
type Kind string

// The two kinds.
const (
	ConfigMap Kind = "configmap"
	Secret    Kind = "secret"
)

// Key names one object.
type Key struct {
	Kind            Kind
	Namespace, Name string
}

// References are the objects that a pod refers to: in volumes, environments of
// containers of every kind, and pull secrets.
func References(pod *corev1.Pod) map[Key]bool {
	refs := map[Key]bool{}
	add := func(k Kind, name string) {
		if name != "" {
			refs[Key{k, pod.Namespace, name}] = true
		}
	}
	for _, s := range pod.Spec.ImagePullSecrets {
		add(Secret, s.Name)
	}
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.ConfigMap != nil:
			add(ConfigMap, v.ConfigMap.Name)
		case v.Secret != nil:
			add(Secret, v.Secret.SecretName)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					add(ConfigMap, s.ConfigMap.Name)
				}
				if s.Secret != nil {
					add(Secret, s.Secret.Name)
				}
			}
		}
	}
	env := func(from []corev1.EnvFromSource, vars []corev1.EnvVar) {
		for _, f := range from {
			if f.ConfigMapRef != nil {
				add(ConfigMap, f.ConfigMapRef.Name)
			}
			if f.SecretRef != nil {
				add(Secret, f.SecretRef.Name)
			}
		}
		for _, v := range vars {
			if v.ValueFrom == nil {
				continue
			}
			if r := v.ValueFrom.ConfigMapKeyRef; r != nil {
				add(ConfigMap, r.Name)
			}
			if r := v.ValueFrom.SecretKeyRef; r != nil {
				add(Secret, r.Name)
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		env(pod.Spec.InitContainers[i].EnvFrom, pod.Spec.InitContainers[i].Env)
	}
	for i := range pod.Spec.Containers {
		env(pod.Spec.Containers[i].EnvFrom, pod.Spec.Containers[i].Env)
	}
	for i := range pod.Spec.EphemeralContainers {
		env(pod.Spec.EphemeralContainers[i].EnvFrom, pod.Spec.EphemeralContainers[i].Env)
	}
	return refs
}
