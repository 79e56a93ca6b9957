package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

func (p *podContext) env(vars []corev1.EnvVar, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range vars {
		v, at := &vars[i], at.Index(i)
		if v.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, check.Messages(validation.IsRelaxedEnvVarName(v.Name), v.Name, at.Child("name"))...)
		}
		if v.ValueFrom != nil {
			errs = append(errs, p.envSource(v, at.Child("valueFrom"))...)
		}
	}
	return errs
}

func (p *podContext) envSource(v *corev1.EnvVar, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	from, sources := v.ValueFrom, 0
	if r := from.FieldRef; r != nil {
		sources++
		errs = append(errs, validateFieldRef(r, envFieldPaths, at.Child("fieldRef"))...)
	}
	if r := from.ResourceFieldRef; r != nil {
		sources++
		errs = append(errs, validateResourceFieldRef(r, false, at.Child("resourceFieldRef"))...)
	}
	if r := from.ConfigMapKeyRef; r != nil {
		sources++
		errs = append(errs, validateKeyRef(r.Name, r.Key, at.Child("configMapKeyRef"))...)
	}
	if r := from.SecretKeyRef; r != nil {
		sources++
		errs = append(errs, validateKeyRef(r.Name, r.Key, at.Child("secretKeyRef"))...)
	}
	if r := from.FileKeyRef; r != nil {
		sources++
		errs = append(errs, p.fileKeyRef(r, at.Child("fileKeyRef"))...)
	}
	switch {
	case sources == 0:
		errs = append(errs, field.Invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(at, "", "may not be specified when `value` is not empty"))
	case sources > 1:
		errs = append(errs, field.Invalid(at, "", "may not have more than one field specified at a time"))
	}
	return errs
}

// fileKeyRef takes a variable from a file that an init container has written
// to an emptyDir.
func (p *podContext) fileKeyRef(r *corev1.FileKeySelector, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Key == "" {
		errs = append(errs, field.Required(at.Child("key"), ""))
	} else {
		errs = append(errs, check.Messages(validation.IsRelaxedEnvVarName(r.Key), r.Key, at.Child("key"))...)
	}
	if r.VolumeName == "" {
		errs = append(errs, field.Required(at.Child("volumeName"), ""))
	} else {
		errs = append(errs, check.Label(r.VolumeName, at.Child("volumeName"))...)
	}
	if v, ok := p.named[r.VolumeName]; !ok {
		errs = append(errs, field.NotFound(at.Child("volumeName"), r.VolumeName))
	} else if v.EmptyDir == nil {
		errs = append(errs, field.Invalid(at.Child("volumeName"), r.VolumeName, "referenced volume must be of type emptyDir"))
	}
	if r.Path == "" {
		return append(errs, field.Required(at.Child("path"), ""))
	}
	return append(errs, check.PathNoBacksteps(r.Path, at.Child("path"))...)
}

func validateKeyRef(name, key string, at *field.Path) field.ErrorList {
	errs := check.Messages(apivalidation.NameIsDNSSubdomain(name, false), name, at.Child("name"))
	if key == "" {
		return append(errs, field.Required(at.Child("key"), ""))
	}
	return append(errs, check.Messages(validation.IsConfigMapKey(key), key, at.Child("key"))...)
}

func validateEnvFrom(from []corev1.EnvFromSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range from {
		f, list := &from[i], at
		at := at.Index(i)
		if f.Prefix != "" {
			errs = append(errs, check.Messages(validation.IsRelaxedEnvVarName(f.Prefix), f.Prefix, at.Child("prefix"))...)
		}
		named := func(name string, at *field.Path) {
			if name == "" {
				errs = append(errs, field.Required(at.Child("name"), ""))
				return
			}
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(name, true), name, at.Child("name"))...)
		}
		if f.ConfigMapRef != nil {
			named(f.ConfigMapRef.Name, at.Child("configMapRef"))
		}
		if f.SecretRef != nil {
			named(f.SecretRef.Name, at.Child("secretRef"))
		}
		// Upstream reports these two at the list.
		switch {
		case f.ConfigMapRef == nil && f.SecretRef == nil:
			errs = append(errs, field.Invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"))
		case f.ConfigMapRef != nil && f.SecretRef != nil:
			errs = append(errs, field.Invalid(list, "", "may not have more than one field specified at a time"))
		}
	}
	return errs
}

// Fields of a pod that the downward API gives to a container, sorted.
var (
	envFieldPaths = []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
	volumeFieldPaths = []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
	// downwardFieldPaths are all that v1 knows, whether or not a place takes them.
	downwardFieldPaths = append([]string{"metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"}, envFieldPaths...)
)

func validateFieldRef(r *corev1.ObjectFieldSelector, allowed []string, at *field.Path) field.ErrorList {
	if r.APIVersion == "" {
		return field.ErrorList{field.Required(at.Child("apiVersion"), "")}
	}
	if r.FieldPath == "" {
		return field.ErrorList{field.Required(at.Child("fieldPath"), "")}
	}
	unknown := func(err string) field.ErrorList {
		return field.ErrorList{field.Invalid(at.Child("fieldPath"), r.FieldPath, "error converting fieldPath: "+err)}
	}
	if r.APIVersion != "v1" {
		return unknown("unsupported pod version: " + r.APIVersion)
	}
	path, key, subscripted := splitSubscript(r.FieldPath)
	if subscripted {
		switch path {
		case "metadata.annotations":
			return check.QualifiedName(strings.ToLower(key), at)
		case "metadata.labels":
			return check.QualifiedName(key, at)
		}
		return unknown(fmt.Sprintf("field label does not support subscript: %s", r.FieldPath))
	}
	if path == "spec.host" {
		// What the field was called in the first versions.
		path = "spec.nodeName"
	}
	if !slices.Contains(downwardFieldPaths, path) {
		return unknown("field label not supported: " + r.FieldPath)
	}
	return check.OneOf(path, allowed, at.Child("fieldPath"))
}

// splitSubscript takes "metadata.labels['key']" apart.
func splitSubscript(p string) (path, key string, ok bool) {
	if !strings.HasSuffix(p, "']") {
		return p, "", false
	}
	path, key, found := strings.Cut(strings.TrimSuffix(p, "']"), "['")
	if !found || path == "" {
		return p, "", false
	}
	return path, key, true
}

var resourceFields = []string{
	"limits.cpu", "limits.ephemeral-storage", "limits.memory",
	"requests.cpu", "requests.ephemeral-storage", "requests.memory",
}

func validateResourceFieldRef(r *corev1.ResourceFieldSelector, inVolume bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	huge := strings.HasPrefix(r.Resource, "limits.hugepages-") || strings.HasPrefix(r.Resource, "requests.hugepages-")
	switch {
	case inVolume && r.ContainerName == "":
		errs = append(errs, field.Required(at.Child("containerName"), ""))
	case r.Resource == "":
		errs = append(errs, field.Required(at.Child("resource"), ""))
	case !huge:
		errs = append(errs, check.OneOf(r.Resource, resourceFields, at.Child("resource"))...)
	}
	if r.Divisor.Cmp(resource.Quantity{}) == 0 {
		return errs
	}
	divisors, what := byteDivisors, "memory"
	switch _, name, _ := strings.Cut(r.Resource, "."); {
	case huge:
		what = "hugepages"
	case !slices.Contains(resourceFields, r.Resource):
		return errs
	case name == "cpu":
		if d := r.Divisor.String(); d != "1m" && d != "1" {
			errs = append(errs, field.Invalid(at.Child("divisor"), r.Resource, "only divisor's values 1m and 1 are supported with the cpu resource"))
		}
		return errs
	case name == "ephemeral-storage":
		what = "local ephemeral storage"
	}
	if !slices.Contains(divisors, r.Divisor.String()) {
		errs = append(errs, field.Invalid(at.Child("divisor"), r.Resource,
			fmt.Sprintf("only divisor's values %s are supported with the %s resource", strings.Join(divisors, ", "), what)))
	}
	return errs
}

var byteDivisors = []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}

// sortedKeys visits a map in a fixed order, so that errors come in one.
func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
