package check

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// standardFinalizers are those that need no domain.
var standardFinalizers = []string{"kubernetes", "orphan", "foregroundDeletion"}

// Finalizers checks what metadata.finalizers of the system's own kinds may
// hold: a standard name, or one with a domain. (Their form is checked by
// k8s.io/apimachinery, and custom resources may hold any.)
func Finalizers(names []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, n := range names {
		errs = append(errs, Finalizer(n, at.Index(i))...)
	}
	return errs
}

// Finalizer: see [Finalizers].
func Finalizer(name string, at *field.Path) field.ErrorList {
	if strings.Contains(name, "/") || slices.Contains(standardFinalizers, name) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified")}
}
