package core

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
)

// Kubelets no longer take their configuration from the API. A node that was
// stored with a source keeps it; no other gets one.

func prepareNodeCreate(_ *resource.Request, n *corev1.Node) {
	n.Spec.ConfigSource, n.Status.Config = nil, nil
}

func prepareNodeUpdate(_ *resource.Request, n, old *corev1.Node) {
	n.Status = old.Status
	if old.Spec.ConfigSource == nil {
		n.Spec.ConfigSource = nil
	}
}

func prepareNodeStatus(_ *resource.Request, n, old *corev1.Node) {
	n.Spec = old.Spec
	if old.Status.Config == nil {
		n.Status.Config = nil
	}
}

func validateNodeConfig(n *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	if s := n.Spec.ConfigSource; s != nil {
		errs = append(errs, validateNodeConfigSource(s, specPath.Child("configSource"), validateWantedConfig)...)
	}
	if c := n.Status.Config; c != nil {
		at := field.NewPath("status", "config")
		for _, s := range []struct {
			name   string
			source *corev1.NodeConfigSource
		}{{"assigned", c.Assigned}, {"active", c.Active}, {"lastKnownGood", c.LastKnownGood}} {
			if s.source != nil {
				errs = append(errs, validateNodeConfigSource(s.source, at.Child(s.name), validateFoundConfig)...)
			}
		}
	}
	return errs
}

func validateNodeConfigSource(s *corev1.NodeConfigSource, at *field.Path, identity func(*corev1.ConfigMapNodeConfigSource, *field.Path) field.ErrorList) field.ErrorList {
	if s.ConfigMap == nil {
		return field.ErrorList{field.Invalid(at, s, "exactly one reference subfield must be non-nil")}
	}
	m, at := s.ConfigMap, at.Child("configMap")
	errs := identity(m, at)
	part := func(name, value string, check func(string) []string) {
		if value == "" {
			errs = append(errs, field.Required(at.Child(name), ""))
			return
		}
		for _, message := range check(value) {
			errs = append(errs, field.Invalid(at.Child(name), value, message))
		}
	}
	part("namespace", m.Namespace, func(s string) []string { return apivalidation.ValidateNamespaceName(s, false) })
	part("name", m.Name, func(s string) []string { return apivalidation.NameIsDNSSubdomain(s, false) })
	part("kubeletConfigKey", m.KubeletConfigKey, validation.IsConfigMapKey)
	return errs
}

// validateWantedConfig: what is wanted is named, whatever its content.
func validateWantedConfig(m *corev1.ConfigMapNodeConfigSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.UID != "" {
		errs = append(errs, field.Forbidden(at.Child("uid"), "uid must not be set in spec"))
	}
	if m.ResourceVersion != "" {
		errs = append(errs, field.Forbidden(at.Child("resourceVersion"), "resourceVersion must not be set in spec"))
	}
	return errs
}

// validateFoundConfig: what was found is one content of one object.
func validateFoundConfig(m *corev1.ConfigMapNodeConfigSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.UID == "" {
		errs = append(errs, field.Required(at.Child("uid"), ""))
	}
	if m.ResourceVersion == "" {
		errs = append(errs, field.Required(at.Child("resourceVersion"), ""))
	}
	return errs
}
