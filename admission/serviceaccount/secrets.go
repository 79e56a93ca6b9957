package serviceaccount

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// enforceAnnotation limits the pods of an account to the secrets that the
// account lists.
const enforceAnnotation = "kubernetes.io/enforce-mountable-secrets"

func enforcesSecrets(sa *corev1.ServiceAccount) bool {
	on, err := strconv.ParseBool(sa.Annotations[enforceAnnotation])
	return err == nil && on
}

func listed(sa *corev1.ServiceAccount) map[string]bool {
	m := map[string]bool{}
	for _, s := range sa.Secrets {
		m[s.Name] = true
	}
	return m
}

// secrets refuses secrets that the account does not list, wherever a pod can
// name one: volumes (also projected ones, which upstream lets pass), the
// environment of containers of each kind, and for pulling images.
func secrets(sa *corev1.ServiceAccount, pod *corev1.Pod) error {
	allowed := listed(sa)
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && !allowed[v.Secret.SecretName] {
			return fmt.Errorf("volume with secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret", v.Secret.SecretName, sa.Name)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.Secret != nil && !allowed[s.Secret.Name] {
				return fmt.Errorf("projected volume with secret.name=\"%s\" is not allowed because service account %s does not reference that secret", s.Secret.Name, sa.Name)
			}
		}
	}
	for _, c := range pod.Spec.InitContainers {
		if err := environment(sa, allowed, "init container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	for _, c := range pod.Spec.Containers {
		if err := environment(sa, allowed, "container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	pull := map[string]bool{}
	for _, s := range sa.ImagePullSecrets {
		pull[s.Name] = true
	}
	for i, s := range pod.Spec.ImagePullSecrets {
		if !pull[s.Name] {
			return fmt.Errorf("imagePullSecrets[%d].name=\"%s\" is not allowed because service account %s does not reference that imagePullSecret", i, s.Name, sa.Name)
		}
	}
	return nil
}

// ephemeralSecrets is secrets for the containers that are added to a pod that
// runs.
func ephemeralSecrets(sa *corev1.ServiceAccount, pod *corev1.Pod) error {
	allowed := listed(sa)
	for _, c := range pod.Spec.EphemeralContainers {
		if err := environment(sa, allowed, "ephemeral container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	return nil
}

func environment(sa *corev1.ServiceAccount, allowed map[string]bool, kind, name string, env []corev1.EnvVar, from []corev1.EnvFromSource) error {
	for _, e := range env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && !allowed[e.ValueFrom.SecretKeyRef.Name] {
			return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret",
				kind, name, e.Name, e.ValueFrom.SecretKeyRef.Name, sa.Name)
		}
	}
	for _, e := range from {
		if e.SecretRef != nil && !allowed[e.SecretRef.Name] {
			return fmt.Errorf("%s %s with envFrom referencing secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret",
				kind, name, e.SecretRef.Name, sa.Name)
		}
	}
	return nil
}
