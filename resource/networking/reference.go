package networking

import (
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// validateReference checks a reference to an object by group, kind and name.
func validateReference(group *string, kind, name string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if group != nil {
		errs = append(errs, check.Messages(validation.IsDNS1123Subdomain(*group), *group, at.Child("apiGroup"))...)
	}
	for _, part := range []struct{ name, value string }{{"kind", kind}, {"name", name}} {
		if part.value == "" {
			errs = append(errs, field.Required(at.Child(part.name), ""))
			continue
		}
		errs = append(errs, check.Messages(path.ValidatePathSegmentName(part.value, false), part.value, at.Child(part.name))...)
	}
	return errs
}
