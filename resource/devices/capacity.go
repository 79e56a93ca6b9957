package devices

import (
	"fmt"
	"strconv"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxValues is how many values may be offered.
const maxValues = 10

// wholeCapacity is that of a device that only one claim can have.
func wholeCapacity(c resourcev1.DeviceCapacity, at *field.Path) field.ErrorList {
	if c.RequestPolicy != nil {
		return field.ErrorList{field.Forbidden(at.Child("requestPolicy"), "allowMultipleAllocations must be true")}
	}
	return nil
}

// sharedCapacity is that of a device that several claims can have parts of.
func sharedCapacity(c resourcev1.DeviceCapacity, at *field.Path) field.ErrorList {
	p := c.RequestPolicy
	if p == nil {
		return nil
	}
	at = at.Child("requestPolicy")
	values, bounds := len(p.ValidValues) > 0, p.ValidRange != nil
	switch {
	case values && bounds:
		return field.ErrorList{field.Forbidden(at, `exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time`)}
	case values && p.Default == nil:
		return field.ErrorList{field.Required(at.Child("default"), "required when validValues is defined")}
	case bounds && p.Default == nil:
		return field.ErrorList{field.Required(at.Child("default"), "required when validRange is defined")}
	case values:
		return validateValues(p.ValidValues, *p.Default, c.Value, at.Child("validValues"))
	case bounds:
		return validateRange(p.ValidRange, *p.Default, c.Value, at.Child("validRange"))
	}
	return nil
}

// validateValues: the values that may be asked for are sorted, within what there
// is, and the default is one of them.
func validateValues(values []resource.Quantity, standard, most resource.Quantity, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range len(values) - 1 {
		if values[i].Cmp(values[i+1]) > 0 {
			errs = append(errs, field.Invalid(at.Index(i+1), values[i+1].String(), "values must be sorted in ascending order"))
		}
	}
	found := false
	errs = append(errs, set(values, maxValues, func(v resource.Quantity, at *field.Path) field.ErrorList {
		found = found || v.Cmp(standard) == 0
		if v.Cmp(most) > 0 {
			return field.ErrorList{field.Invalid(at, v.String(), "option is larger than capacity value: "+most.String())}
		}
		return nil
	}, func(v resource.Quantity) string { return strconv.FormatInt(v.Value(), 10) }, at)...)
	if !found {
		errs = append(errs, field.Invalid(at, standard.String(), "default value is not valid according to the requestPolicy"))
	}
	return errs
}

// validateRange: the bounds are in order and within what there is, and the
// default lies between them, on a step.
func validateRange(r *resourcev1.CapacityRequestPolicyRange, standard, most resource.Quantity, at *field.Path) field.ErrorList {
	if r.Min == nil {
		return field.ErrorList{field.Required(at.Child("min"), "required when validRange is defined")}
	}
	var errs field.ErrorList
	refuse := func(is bool, name string, value resource.Quantity, why string, than resource.Quantity) {
		if is {
			errs = append(errs, field.Invalid(at.Child(name), value.String(), fmt.Sprintf("%s: %s", why, than.String())))
		}
	}
	refuse(r.Min.Cmp(most) > 0, "min", *r.Min, "min is larger than capacity value", most)
	refuse(standard.Cmp(*r.Min) < 0, "min", standard, "default is less than min", *r.Min)
	if r.Max != nil {
		refuse(r.Min.Cmp(*r.Max) > 0, "max", *r.Min, "min is larger than max", *r.Max)
		refuse(r.Max.Cmp(most) > 0, "max", *r.Max, "max is larger than capacity value", most)
		refuse(standard.Cmp(*r.Max) > 0, "max", standard, "default is more than max", *r.Max)
	}
	if r.Step == nil {
		return errs
	}
	first := r.Min.DeepCopy()
	first.Add(*r.Step)
	refuse(first.Cmp(most) > 0, "step", *r.Step, fmt.Sprintf("one step %s is larger than capacity value", first.String()), most)
	errs = append(errs, onStep(standard, *r.Min, *r.Step, at.Child("step"))...)
	if r.Max != nil {
		errs = append(errs, onStep(*r.Max, *r.Min, *r.Step, at.Child("step"))...)
	}
	return errs
}

func onStep(v, from, step resource.Quantity, at *field.Path) field.ErrorList {
	// A step of nothing reaches only where it begins.
	if s, way := step.Value(), v.Value()-from.Value(); s == 0 && way == 0 || s != 0 && way%s == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, v.String(), fmt.Sprintf("value is not a multiple of a given step (%s) from (%s)", step.String(), from.String()))}
}
