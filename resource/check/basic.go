package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Wordings that several rules use.
const (
	IsNegative   = apivalidation.IsNegativeErrorMsg
	Immutable    = apivalidation.FieldImmutableErrorMsg
	NotZero      = "must be greater than zero"
	NotPositive  = "must be greater than 0"
	NotInteger   = "must be an integer"
	NoNullString = "must be empty"
)

// Messages turns the messages of a rule of k8s.io/apimachinery into errors.
func Messages(messages []string, value any, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, m := range messages {
		errs = append(errs, field.Invalid(at, value, m))
	}
	return errs
}

// Label is an RFC 1123 label: lower case letters, digits and dashes.
func Label(value string, at *field.Path) field.ErrorList {
	return Messages(validation.IsDNS1123Label(value), value, at)
}

// Subdomain is a DNS name of RFC 1123 labels.
func Subdomain(value string, at *field.Path) field.ErrorList {
	return Messages(validation.IsDNS1123Subdomain(value), value, at)
}

// QualifiedName is a label key: an optional DNS prefix and a name.
func QualifiedName(value string, at *field.Path) field.ErrorList {
	return Messages(validation.IsQualifiedName(value), value, at)
}

// NonNegative refuses values below zero.
func NonNegative(value int64, at *field.Path) field.ErrorList {
	return apivalidation.ValidateNonnegativeField(value, at)
}

// Positive refuses values below one.
func Positive(value int64, at *field.Path) field.ErrorList {
	if value <= 0 {
		return field.ErrorList{field.Invalid(at, value, NotPositive)}
	}
	return nil
}

// Unchanged refuses any change of a field, compared semantically.
func Unchanged(value, was any, at *field.Path) field.ErrorList {
	return apivalidation.ValidateImmutableField(value, was, at)
}

// OneOf refuses a value that is not in the set. Upstream sorts the set in its
// message; field.NotSupported keeps the order given, so pass it sorted.
func OneOf[T ~string](value T, allowed []T, at *field.Path) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, value, allowed)}
}

// PortNumber is a TCP, UDP or SCTP port.
func PortNumber(port int, at *field.Path) field.ErrorList {
	return Messages(validation.IsValidPortNum(port), port, at)
}

// PortNumberOrName is a port or the name of one.
func PortNumberOrName(port intstr.IntOrString, at *field.Path) field.ErrorList {
	switch port.Type {
	case intstr.Int:
		return PortNumber(port.IntValue(), at)
	case intstr.String:
		return Messages(validation.IsValidPortName(port.StrVal), port.StrVal, at)
	}
	return field.ErrorList{field.InternalError(at, fmt.Errorf("unknown type: %v", port.Type))}
}

// PathNoBacksteps refuses ".." as a part of a path.
func PathNoBacksteps(p string, at *field.Path) field.ErrorList {
	if slices.Contains(strings.Split(p, "/"), "..") {
		return field.ErrorList{field.Invalid(at, p, "must not contain '..'")}
	}
	return nil
}

// LocalDescendingPath is relative and stays below where it starts.
func LocalDescendingPath(p string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(p) {
		errs = append(errs, field.Invalid(at, p, "must be a relative path"))
	}
	return append(errs, PathNoBacksteps(p, at)...)
}

// LocalNonReservedPath is a descending path that does not start with "..",
// which atomically written volumes keep for themselves.
func LocalNonReservedPath(p string, at *field.Path) field.ErrorList {
	errs := LocalDescendingPath(p, at)
	// A path that starts with "../" has been refused above.
	if strings.HasPrefix(p, "..") && !strings.HasPrefix(p, "../") {
		errs = append(errs, field.Invalid(at, p, "must not start with '..'"))
	}
	return errs
}
