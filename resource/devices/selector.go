package devices

import (
	"errors"
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	devicecel "k8s.io/dynamic-resource-allocation/cel"
)

// celFeatures are those that are on by default.
var celFeatures = devicecel.Features{EnableConsumableCapacity: true}

// selectors checks conditions that devices have to meet. Those that are stored
// already may use what only a newer server offers.
func selectors(s []resourcev1.DeviceSelector, stored bool, at *field.Path) field.ErrorList {
	return list(s, resourcev1.DeviceSelectorsMaxSize, func(s resourcev1.DeviceSelector, at *field.Path) field.ErrorList {
		if s.CEL == nil {
			return field.ErrorList{field.Required(at.Child("cel"), "")}
		}
		return expression(s.CEL.Expression, stored, at.Child("cel", "expression"))
	}, at)
}

// expression compiles a condition, unless it is too long, and bounds its cost.
func expression(e string, stored bool, at *field.Path) field.ErrorList {
	if len(e) > resourcev1.CELSelectorExpressionMaxLength {
		return field.ErrorList{field.TooLong(at, "", resourcev1.CELSelectorExpressionMaxLength)}
	}
	env := environment.NewExpressions
	if stored {
		env = environment.StoredExpressions
	}
	result := devicecel.GetCompiler(celFeatures).CompileCELExpression(e, devicecel.Options{EnvType: &env})
	if result.Error != nil {
		return field.ErrorList{celError(e, result.Error, at)}
	}
	if result.MaxCost > resourcev1.CELSelectorExpressionMaxCost {
		return field.ErrorList{field.Forbidden(at, "too complex, exceeds cost limit")}
	}
	return nil
}

func celError(expression string, err error, at *field.Path) *field.Error {
	var e *cel.Error
	if errors.As(err, &e) {
		switch e.Type {
		case cel.ErrorTypeRequired:
			return field.Required(at, e.Detail)
		case cel.ErrorTypeInvalid:
			return field.Invalid(at, expression, e.Detail)
		case cel.ErrorTypeInternal:
			return field.InternalError(at, e)
		}
	}
	return field.InternalError(at, fmt.Errorf("unsupported error type: %w", err))
}
