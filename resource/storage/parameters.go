package storage

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// Limits of the parameters that are passed to a provisioner.
const (
	maxParameters     = 512
	maxParametersSize = 256 << 10
)

// validateProvisioner checks the name of who provides the volumes of a class.
func validateProvisioner(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, name)}
	}
	return check.QualifiedName(strings.ToLower(name), at)
}

func validateParameters(params map[string]string, optional bool, at *field.Path) field.ErrorList {
	if len(params) > maxParameters {
		return field.ErrorList{field.TooLong(at, "" /* not shown */, maxParameters)}
	}
	var errs field.ErrorList
	size := 0
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if k == "" {
			errs = append(errs, field.Invalid(at, k, "field can not be empty."))
		}
		size += len(k) + len(params[k])
	}
	if size > maxParametersSize {
		errs = append(errs, field.TooLong(at, "" /* not shown */, maxParametersSize))
	}
	if !optional && len(params) == 0 {
		errs = append(errs, field.Required(at, "must contain at least one key/value pair"))
	}
	return errs
}

// defaultCell marks the class that is used where none is named.
func defaultCell(name string, annotations map[string]string, keys ...string) string {
	for _, k := range keys {
		if annotations[k] == "true" {
			return name + " (default)"
		}
	}
	return name
}
