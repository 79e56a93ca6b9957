package devices

import (
	"encoding/json"
	"fmt"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// defaultClaim fills in how many devices a request is for, and how taints are
// compared.
func defaultClaim(s *resourcev1.ResourceClaimSpec) {
	one := func(mode *resourcev1.DeviceAllocationMode, count *int64, tolerations []resourcev1.DeviceToleration) {
		if *mode == "" {
			*mode = resourcev1.DeviceAllocationModeExactCount
		}
		if *mode == resourcev1.DeviceAllocationModeExactCount && *count == 0 {
			*count = 1
		}
		defaultTolerations(tolerations)
	}
	for i := range s.Devices.Requests {
		r := &s.Devices.Requests[i]
		if r.Exactly != nil {
			one(&r.Exactly.AllocationMode, &r.Exactly.Count, r.Exactly.Tolerations)
		}
		for j := range r.FirstAvailable {
			a := &r.FirstAvailable[j]
			one(&a.AllocationMode, &a.Count, a.Tolerations)
		}
	}
}

func defaultTolerations(ts []resourcev1.DeviceToleration) {
	for i := range ts {
		if ts[i].Operator == "" {
			ts[i].Operator = resourcev1.DeviceTolerationOpEqual
		}
	}
}

// validateClaimSpec checks what a new claim asks for. It cannot change later.
func validateClaimSpec(s *resourcev1.ResourceClaimSpec, at *field.Path) field.ErrorList {
	c, at := &s.Devices, at.Child("devices")
	names := namesOf(c)
	errs := set(c.Requests, resourcev1.DeviceRequestsMaxSize, validateRequest,
		func(r resourcev1.DeviceRequest) string { return r.Name }, at.Child("requests"))
	errs = append(errs, list(c.Constraints, resourcev1.DeviceConstraintsMaxSize, func(k resourcev1.DeviceConstraint, at *field.Path) field.ErrorList {
		return validateConstraint(k, names, at)
	}, at.Child("constraints"))...)
	return append(errs, list(c.Config, resourcev1.DeviceConfigMaxSize, func(k resourcev1.DeviceClaimConfiguration, at *field.Path) field.ErrorList {
		errs := names.references(k.Requests, at.Child("requests"))
		return append(errs, validateConfiguration(k.DeviceConfiguration, false, at)...)
	}, at.Child("config"))...)
}

// requestNames are the names of requests, each with those of its alternatives.
type requestNames map[string][]string

func namesOf(c *resourcev1.DeviceClaim) requestNames {
	names := requestNames{}
	for _, r := range c.Requests {
		names[r.Name] = nil
		for _, s := range r.FirstAvailable {
			names[r.Name] = append(names[r.Name], s.Name)
		}
	}
	return names
}

// reference checks what names a request, or a request and one of its
// alternatives.
func (n requestNames) reference(name string, at *field.Path) field.ErrorList {
	const unknown = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
	parts := strings.Split(name, "/")
	if len(parts) > 2 {
		return field.ErrorList{field.Invalid(at, name, unknown)}
	}
	var errs field.ErrorList
	for _, p := range parts {
		errs = append(errs, check.Label(p, at)...)
	}
	alternatives, known := n[parts[0]]
	if known && len(parts) == 2 {
		known = false
		for _, a := range alternatives {
			known = known || a == parts[1]
		}
	}
	if !known {
		errs = append(errs, field.Invalid(at, name, unknown))
	}
	return errs
}

func (n requestNames) references(names []string, at *field.Path) field.ErrorList {
	return set(names, resourcev1.DeviceRequestsMaxSize, n.reference, itself, at)
}

func validateRequest(r resourcev1.DeviceRequest, at *field.Path) field.ErrorList {
	errs := check.Label(r.Name, at.Child("name"))
	const one = "exactly one of `exactly` or `firstAvailable` is required"
	switch alternatives := len(r.FirstAvailable) > 0; {
	case alternatives && r.Exactly != nil:
		return append(errs, field.Invalid(at, nil, one+", but multiple fields are set"))
	case alternatives:
		return append(errs, set(r.FirstAvailable, resourcev1.FirstAvailableDeviceRequestMaxSize, validateAlternative,
			func(s resourcev1.DeviceSubRequest) string { return s.Name }, at.Child("firstAvailable"))...)
	case r.Exactly != nil:
		x, at := r.Exactly, at.Child("exactly")
		return append(errs, validateWish(x.DeviceClassName, x.Selectors, x.AllocationMode, x.Count, x.Tolerations, at)...)
	}
	return append(errs, field.Required(at, one))
}

func validateAlternative(s resourcev1.DeviceSubRequest, at *field.Path) field.ErrorList {
	errs := check.Label(s.Name, at.Child("name"))
	return append(errs, validateWish(s.DeviceClassName, s.Selectors, s.AllocationMode, s.Count, s.Tolerations, at)...)
}

// validateWish checks what requests and their alternatives have in common.
func validateWish(class string, conditions []resourcev1.DeviceSelector, mode resourcev1.DeviceAllocationMode, count int64, tolerations []resourcev1.DeviceToleration, at *field.Path) field.ErrorList {
	errs := className(class, at.Child("deviceClassName"))
	errs = append(errs, selectors(conditions, false, at.Child("selectors"))...)
	switch mode {
	case resourcev1.DeviceAllocationModeAll:
		if count != 0 {
			errs = append(errs, field.Invalid(at.Child("count"), count, fmt.Sprintf("must not be specified when allocationMode is '%s'", mode)))
		}
	case resourcev1.DeviceAllocationModeExactCount:
		if count <= 0 {
			errs = append(errs, field.Invalid(at.Child("count"), count, check.NotZero))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("allocationMode"), mode,
			[]resourcev1.DeviceAllocationMode{resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount}))
	}
	for i, t := range tolerations {
		errs = append(errs, validateToleration(t, at.Child("tolerations").Index(i))...)
	}
	return errs
}

// effects of taints, sorted.
var effects = []resourcev1.DeviceTaintEffect{
	resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone,
}

func validateToleration(t resourcev1.DeviceToleration, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
	}
	switch t.Operator {
	case resourcev1.DeviceTolerationOpExists:
		if t.Value != "" {
			errs = append(errs, field.Invalid(at.Child("value"), t.Value, "must be empty for operator `Exists`"))
		}
	case resourcev1.DeviceTolerationOpEqual:
		errs = append(errs, labelValue(t.Value, at.Child("value"))...)
	case "":
		errs = append(errs, field.Required(at.Child("operator"), ""))
	default:
		errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator,
			[]resourcev1.DeviceTolerationOperator{resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists}))
	}
	if t.Effect != "" {
		errs = append(errs, check.OneOf(t.Effect, effects, at.Child("effect"))...)
	}
	return errs
}

func validateConstraint(k resourcev1.DeviceConstraint, names requestNames, at *field.Path) field.ErrorList {
	errs := names.references(k.Requests, at.Child("requests"))
	switch {
	case k.MatchAttribute != nil:
		return append(errs, fullName(*k.MatchAttribute, at.Child("matchAttribute"))...)
	case k.DistinctAttribute != nil:
		return append(errs, fullName(*k.DistinctAttribute, at.Child("distinctAttribute"))...)
	}
	return append(errs, field.Required(at, `exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set`))
}

// validateConfiguration checks parameters for a driver. What is stored already
// may be longer than what is new.
func validateConfiguration(c resourcev1.DeviceConfiguration, stored bool, at *field.Path) field.ErrorList {
	at = at.Child("opaque")
	if c.Opaque == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	most := resourcev1.OpaqueParametersMaxLength
	if stored {
		most = unlimited
	}
	errs := check.CSIDriverName(c.Opaque.Driver, at.Child("driver"))
	return append(errs, rawObject(c.Opaque.Parameters, most, at.Child("parameters"))...)
}

// rawObject is a JSON object of at most so many bytes.
func rawObject(r runtime.RawExtension, most int, at *field.Path) field.ErrorList {
	if len(r.Raw) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	if len(r.Raw) > most {
		return field.ErrorList{field.TooLong(at, "", most)}
	}
	const omitted = "<value omitted>"
	var v any
	if err := json.Unmarshal(r.Raw, &v); err != nil {
		return field.ErrorList{field.Invalid(at, omitted, fmt.Sprintf("error parsing data as JSON: %v", err))}
	}
	if v == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	if _, ok := v.(map[string]any); !ok {
		return field.ErrorList{field.Invalid(at, omitted, "must be a valid JSON object")}
	}
	return nil
}
