package check

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
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

// TemplateMetadata: of an object's metadata, a template inside another object has
// labels and annotations only.
func TemplateMetadata(m *metav1.ObjectMeta, at *field.Path) field.ErrorList {
	errs := apivalidation.ValidateAnnotations(m.Annotations, at.Child("annotations"))
	errs = append(errs, metavalidation.ValidateLabels(m.Labels, at.Child("labels"))...)
	return append(errs, OnlyFields(*m, []string{"Annotations", "Labels"}, "cannot be set", at)...)
}

// OnlyFields forbids the fields of a struct that are not in the list, so that
// a new field has to be let in.
func OnlyFields(value any, allowed []string, why string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	v := reflect.ValueOf(value)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if slices.Contains(allowed, name) || v.Field(i).IsZero() {
			continue
		}
		r, n := utf8.DecodeRuneInString(name)
		errs = append(errs, field.Forbidden(at.Child(string(unicode.ToLower(r))+name[n:]), why))
	}
	return errs
}
