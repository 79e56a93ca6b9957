package devices

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

// validateDevice checks a device of a slice, in which, with each, every device
// says which nodes reach it. old is the device as it was, or nil.
func validateDevice(d, old *resourcev1.Device, each bool, at *field.Path) field.ErrorList {
	errs := check.Label(d.Name, at.Child("name"))
	if n := len(d.Attributes) + len(d.Capacity); n > resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice {
		errs = append(errs, field.Invalid(at, n, fmt.Sprintf("the total number of attributes and capacities must not exceed %d", resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice)))
	}
	if n := valuesOf(d); n > resourcev1.ResourceSliceMaxAttributeValuesPerDevice {
		errs = append(errs, field.Invalid(at, n, fmt.Sprintf("the total number of attribute values must not exceed %d", resourcev1.ResourceSliceMaxAttributeValuesPerDevice)))
	}
	errs = append(errs, table(d.Attributes, unlimited, qualifiedLength, qualifiedName, validateAttribute, at.Child("attributes"))...)
	capacity := wholeCapacity
	if ptr.Deref(d.AllowMultipleAllocations, false) {
		capacity = sharedCapacity
	}
	errs = append(errs, table(d.Capacity, unlimited, qualifiedLength, qualifiedName, capacity, at.Child("capacity"))...)
	if old == nil || !check.Equal(&old.Taints, &d.Taints) {
		errs = append(errs, list(d.Taints, resourcev1.DeviceTaintsMaxLength, validateTaint, at.Child("taints"))...)
	}
	errs = append(errs, set(d.ConsumesCounters, resourcev1.ResourceSliceMaxDeviceCounterConsumptionsPerDevice, func(c resourcev1.DeviceCounterConsumption, at *field.Path) field.ErrorList {
		errs := counterName(c.CounterSet, at.Child("counterSet"))
		return append(errs, counters(c.Counters, resourcev1.ResourceSliceMaxCountersPerDeviceCounterConsumption, at.Child("counters"))...)
	}, func(c resourcev1.DeviceCounterConsumption) string { return c.CounterSet }, at.Child("consumesCounters"))...)
	errs = append(errs, validateDeviceReach(d, each, at)...)
	errs = append(errs, bindingConditions(d.BindingConditions, d.BindingFailureConditions, at)...)
	return append(errs, validateMappings(d, at.Child("nodeAllocatableResourceMappings"))...)
}

// valuesOf counts the values of attributes, those of lists one by one.
func valuesOf(d *resourcev1.Device) int {
	n := 0
	for _, a := range d.Attributes {
		n += max(1, len(a.BoolValues)+len(a.IntValues)+len(a.StringValues)+len(a.VersionValues))
	}
	return n
}

func validateDeviceReach(d *resourcev1.Device, each bool, at *field.Path) field.ErrorList {
	if !each {
		if d.NodeName != nil || d.NodeSelector != nil || d.AllNodes != nil {
			return field.ErrorList{field.Invalid(at, nil, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec")}
		}
		return nil
	}
	var errs field.ErrorList
	var ways []string
	if n := d.NodeName; n != nil {
		if *n == "" {
			errs = append(errs, field.Invalid(at.Child("nodeName"), *n, "must not be empty"))
		} else {
			ways = append(ways, "`nodeName`")
			errs = append(errs, check.NodeName(*n, at.Child("nodeName"))...)
		}
	}
	if d.NodeSelector != nil {
		ways = append(ways, "`nodeSelector`")
		errs = append(errs, check.NodeSelector(d.NodeSelector, false, at.Child("nodeSelector"))...)
	}
	if a := d.AllNodes; a != nil {
		if *a {
			ways = append(ways, "`allNodes`")
		} else {
			errs = append(errs, field.Invalid(at.Child("allNodes"), *a, "must be either unset or set to true"))
		}
	}
	const one = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
	switch len(ways) {
	case 0:
		errs = append(errs, field.Required(at, one))
	case 1:
	default:
		errs = append(errs, field.Invalid(at, "{"+strings.Join(ways, ", ")+"}", one))
	}
	return errs
}

// semver is a version as semver.org 2.0.0 describes it.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

func validateAttribute(a resourcev1.DeviceAttribute, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	has := func(is bool) bool {
		if is {
			n++
		}
		return is
	}
	notEmpty := func(name string, length int, value any) {
		if length == 0 {
			errs = append(errs, field.Invalid(at.Child(name), value, "must not be empty if specified"))
		}
	}
	has(a.BoolValue != nil)
	has(a.IntValue != nil)
	if has(a.StringValue != nil) {
		errs = append(errs, text(*a.StringValue, at.Child("string"))...)
	}
	if has(a.VersionValue != nil) {
		errs = append(errs, version(*a.VersionValue, at.Child("version"))...)
	}
	if has(a.BoolValues != nil) {
		notEmpty("bools", len(a.BoolValues), a.BoolValues)
	}
	if has(a.IntValues != nil) {
		notEmpty("ints", len(a.IntValues), a.IntValues)
	}
	if has(a.StringValues != nil) {
		notEmpty("strings", len(a.StringValues), a.StringValues)
		errs = append(errs, list(a.StringValues, unlimited, text, at.Child("strings"))...)
	}
	if has(a.VersionValues != nil) {
		notEmpty("versions", len(a.VersionValues), a.VersionValues)
		errs = append(errs, list(a.VersionValues, unlimited, version, at.Child("versions"))...)
	}
	const one = "exactly one value must be specified"
	switch n {
	case 0:
		errs = append(errs, field.Invalid(at, "", one))
	case 1:
	default:
		errs = append(errs, field.Invalid(at, check.GoForm{Value: a}, one))
	}
	return errs
}

func text(s string, at *field.Path) field.ErrorList {
	if len(s) > resourcev1.DeviceAttributeMaxValueLength {
		return field.ErrorList{field.TooLong(at, "", resourcev1.DeviceAttributeMaxValueLength)}
	}
	return nil
}

func version(v string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !semver.MatchString(v) {
		errs = append(errs, field.Invalid(at, v, "must be a string compatible with semver.org spec 2.0.0"))
	}
	return append(errs, text(v, at)...)
}

func validateTaint(t resourcev1.DeviceTaint, at *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabelName(t.Key, at.Child("key"))
	if t.Value != "" {
		errs = append(errs, labelValue(t.Value, at.Child("value"))...)
	}
	if t.Effect == "" {
		return append(errs, field.Required(at.Child("effect"), ""))
	}
	return append(errs, check.OneOf(t.Effect, effects, at.Child("effect"))...)
}

// validateMappings checks what devices use of a node's own resources.
func validateMappings(d *resourcev1.Device, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(d.NodeAllocatableResourceMappings)) {
		m, at := d.NodeAllocatableResourceMappings[name], at.Key(string(name))
		if !check.IsNative(string(name)) {
			errs = append(errs, field.Invalid(at, name, "must be a node allocatable resource name"))
		}
		if m.AllocationMultiplier == nil && m.CapacityKey == nil {
			errs = append(errs, field.Invalid(at, "", "at least one of allocationMultiplier or capacityKey must be set"))
			continue
		}
		if q := m.AllocationMultiplier; q != nil && q.Sign() <= 0 {
			errs = append(errs, field.Invalid(at.Child("allocationMultiplier"), q.String(), "must be positive"))
		}
		if k := m.CapacityKey; k != nil {
			if *k == "" {
				errs = append(errs, field.Invalid(at.Child("capacityKey"), "", "capacityKey must not be an empty string"))
			} else if _, ok := d.Capacity[*k]; !ok {
				errs = append(errs, field.NotFound(at.Child("capacityKey"), *k))
			}
		}
	}
	return errs
}
