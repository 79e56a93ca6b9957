package cri

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Environment is the container's environment, sorted by name. Of two sources
// the later wins: services, envFrom in order, env in order.
func Environment(in ContainerInput) ([]*runtimeapi.KeyValue, error) {
	links := in.Pod.Spec.EnableServiceLinks == nil || *in.Pod.Spec.EnableServiceLinks
	services := serviceEnv(in.Pod.Namespace, in.Services, links)
	env := map[string]string{}
	for _, from := range in.Container.EnvFrom {
		if err := addEnvFrom(env, from, in); err != nil {
			return nil, err
		}
	}
	for _, v := range in.Container.Env {
		value, ok, err := envValue(v, in, lookupOrKeep(env, services))
		if err != nil {
			return nil, err
		}
		if ok {
			env[v.Name] = value
		}
	}
	for k, v := range services {
		if _, ok := env[k]; !ok {
			env[k] = v
		}
	}
	for _, v := range in.ExtraEnv {
		env[v.Key] = string(v.Value)
	}
	out := make([]*runtimeapi.KeyValue, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, &runtimeapi.KeyValue{Key: k, Value: []byte(env[k])})
	}
	return out, nil
}

// addEnvFrom adds every key of a ConfigMap or Secret whose name, with the
// prefix, can be a variable's.
func addEnvFrom(env map[string]string, from corev1.EnvFromSource, in ContainerInput) error {
	add := func(k, v string) {
		if len(validation.IsRelaxedEnvVarName(from.Prefix+k)) == 0 {
			env[from.Prefix+k] = v
		}
	}
	switch {
	case from.ConfigMapRef != nil:
		cm, err := configMap(in, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		if err != nil || cm == nil {
			return err
		}
		for k, v := range cm.Data {
			add(k, v)
		}
	case from.SecretRef != nil:
		s, err := secret(in, from.SecretRef.Name, from.SecretRef.Optional)
		if err != nil || s == nil {
			return err
		}
		for k, v := range s.Data {
			add(k, string(v))
		}
	}
	return nil
}

// envValue resolves one variable; ok is false if an optional source is absent,
// and the variable with it.
func envValue(v corev1.EnvVar, in ContainerInput, lookup func(string) string) (value string, ok bool, err error) {
	if v.Value != "" || v.ValueFrom == nil {
		return Expand(v.Value, lookup), true, nil
	}
	switch from := v.ValueFrom; {
	case from.FieldRef != nil:
		value, err = FieldValue(from.FieldRef.FieldPath, in.Pod, in.Node, in.podIPs())
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = ResourceValue(from.ResourceFieldRef, in.Pod, in.Container, in.Node.Allocatable)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		cm, err := configMap(in, ref.Name, ref.Optional)
		if err != nil || cm == nil {
			return "", false, err
		}
		value, ok = cm.Data[ref.Key]
		if !ok && !isTrue(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, in.Pod.Namespace, ref.Name)
		}
		return value, ok, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := secret(in, ref.Name, ref.Optional)
		if err != nil || s == nil {
			return "", false, err
		}
		data, ok := s.Data[ref.Key]
		if !ok && !isTrue(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, in.Pod.Namespace, ref.Name)
		}
		return string(data), ok, nil
	case from.FileKeyRef != nil:
		return fileKey(in, from.FileKeyRef)
	}
	return "", true, nil
}

// configMap looks one up; nil without error means absent and optional.
func configMap(in ContainerInput, name string, optional *bool) (*corev1.ConfigMap, error) {
	if in.Objects == nil {
		return nil, fmt.Errorf("couldn't get configMap %v/%v, no API server", in.Pod.Namespace, name)
	}
	cm, err := in.Objects.ConfigMap(in.Pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && isTrue(optional) {
			return nil, nil
		}
		return nil, err
	}
	return cm, nil
}

// secret is configMap's sibling.
func secret(in ContainerInput, name string, optional *bool) (*corev1.Secret, error) {
	if in.Objects == nil {
		return nil, fmt.Errorf("couldn't get secret %v/%v, no API server", in.Pod.Namespace, name)
	}
	s, err := in.Objects.Secret(in.Pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && isTrue(optional) {
			return nil, nil
		}
		return nil, err
	}
	return s, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// podIPs are the pod's addresses: on the host network the node's.
func (in PodInput) podIPs() []string {
	if len(in.IPs) == 0 && in.Pod.Spec.HostNetwork {
		return in.Node.IPs
	}
	return in.IPs
}
