package check

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CountOrPercent checks "3" or "25%"; neither may be negative. A value
// that is missing stands for 0.
func CountOrPercent(v *intstr.IntOrString, at *field.Path) field.ErrorList {
	switch {
	case v == nil:
		return nil
	case v.Type == intstr.String:
		return Messages(validation.IsValidPercent(v.StrVal), v, at)
	case v.Type == intstr.Int:
		return NonNegative(int64(v.IntVal), at)
	}
	return field.ErrorList{field.Invalid(at, v, "must be an integer or percentage (e.g '5%%')")}
}

// AtMost100Percent leaves counts alone.
func AtMost100Percent(v *intstr.IntOrString, at *field.Path) field.ErrorList {
	if p, ok := percent(v); ok && p > 100 {
		return field.ErrorList{field.Invalid(at, v, "must not be greater than 100%")}
	}
	return nil
}

// Amount is the number in a count or a percentage: enough to tell whether it is
// zero.
func Amount(v *intstr.IntOrString) int {
	if p, ok := percent(v); ok {
		return p
	}
	if v == nil {
		return 0
	}
	return v.IntValue()
}

func percent(v *intstr.IntOrString) (int, bool) {
	if v == nil || v.Type != intstr.String || len(validation.IsValidPercent(v.StrVal)) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
	return n, err == nil
}
