package check

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const maxCSIDriverName = 63

// CSIDriverName is a DNS name in letters of either case.
func CSIDriverName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	if len(name) > maxCSIDriverName {
		errs = append(errs, field.TooLong(at, "" /* not shown */, maxCSIDriverName))
	}
	return append(errs, Messages(validation.IsDNS1123Subdomain(strings.ToLower(name)), name, at)...)
}
