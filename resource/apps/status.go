package apps

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

// count is one number of a status, by the name of its field.
type count struct {
	name  string
	value int64
}

func validateCounts(at *field.Path, cs ...count) field.ErrorList {
	var errs field.ErrorList
	for _, c := range cs {
		errs = append(errs, check.NonNegative(c.value, at.Child(c.name))...)
	}
	return errs
}

// validateNoMore: each count is a part of a whole.
func validateNoMore(at *field.Path, whole int64, message string, cs ...count) field.ErrorList {
	var errs field.ErrorList
	for _, c := range cs {
		if c.value > whole {
			errs = append(errs, field.Invalid(at.Child(c.name), int32(c.value), message))
		}
	}
	return errs
}

func validateOptionalCount(at *field.Path, name string, v *int32) field.ErrorList {
	if v == nil {
		return nil
	}
	return check.NonNegative(int64(*v), at.Child(name))
}

// validateNotDecremented: names that a collision count has led to are in use,
// so it never goes back.
func validateNotDecremented(v, old *int32, at *field.Path) field.ErrorList {
	if old != nil && (v == nil || *v < *old) {
		return field.ErrorList{field.Invalid(at, ptr.Deref(v, 0), "cannot be decremented")}
	}
	return nil
}
