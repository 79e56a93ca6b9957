package apps

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// validateCountOrPercent checks "3" or "25%"; neither may be negative. A value
// that is missing stands for 0.
func validateCountOrPercent(v *intstr.IntOrString, at *field.Path) field.ErrorList {
	switch {
	case v == nil:
		return nil
	case v.Type == intstr.String:
		return check.Messages(validation.IsValidPercent(v.StrVal), v, at)
	case v.Type == intstr.Int:
		return check.NonNegative(int64(v.IntVal), at)
	}
	return field.ErrorList{field.Invalid(at, v, "must be an integer or percentage (e.g '5%%')")}
}

// validateAtMost100Percent leaves counts alone.
func validateAtMost100Percent(v *intstr.IntOrString, at *field.Path) field.ErrorList {
	if p, ok := percent(v); ok && p > 100 {
		return field.ErrorList{field.Invalid(at, v, "must not be greater than 100%")}
	}
	return nil
}

// amount is the number in a count or a percentage: enough to tell whether it is
// zero.
func amount(v *intstr.IntOrString) int {
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
