package devices

import (
	"fmt"
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ResourceSlice is the row of slices, in which drivers say what devices there
// are, on a node or beyond.
func ResourceSlice() *resource.Definition {
	spec := resourcev1.ResourceSliceSpec{}.SwaggerDoc()
	return resource.Row[*resourcev1.ResourceSlice]{
		Storage:       resourcev1.SchemeGroupVersion,
		Kind:          "ResourceSlice",
		Plural:        "resourceslices",
		ClusterScoped: true,
		New:           func() *resourcev1.ResourceSlice { return new(resourcev1.ResourceSlice) },
		NewList:       func() runtime.Object { return new(resourcev1.ResourceSliceList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		PrepareCreate: func(req *resource.Request, s *resourcev1.ResourceSlice) { prepareSlice(req, s, nil) },
		PrepareUpdate: func(req *resource.Request, s, old *resourcev1.ResourceSlice) { prepareSlice(req, s, &old.Spec) },
		Validate: func(s *resourcev1.ResourceSlice) field.ErrorList {
			return validateSlice(&s.Spec, nil)
		},
		ValidateUpdate: func(s, old *resourcev1.ResourceSlice) field.ErrorList { return validateSlice(&s.Spec, &old.Spec) },
		Warnings: func(s, _ *resourcev1.ResourceSlice) []string {
			if d := s.Spec.Driver; d != strings.ToLower(d) {
				return []string{fmt.Sprintf("spec.driver: driver names should be lowercase; %q contains uppercase characters", d)}
			}
			return nil
		},
		Spec: func(s *resourcev1.ResourceSlice) any { return &s.Spec },
		Fields: func(s *resourcev1.ResourceSlice) map[string]string {
			return map[string]string{
				resourcev1.ResourceSliceSelectorNodeName: ptr.Deref(s.Spec.NodeName, ""),
				resourcev1.ResourceSliceSelectorDriver:   s.Spec.Driver,
			}
		},
		Indexed: []string{resourcev1.ResourceSliceSelectorNodeName},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Node", spec["nodeName"]),
			columns.String("Driver", spec["driver"]),
			columns.String("Pool", resourcev1.ResourcePool{}.SwaggerDoc()["name"]),
			columns.Age(),
		},
		Cells: func(s *resourcev1.ResourceSlice, now time.Time) []any {
			return []any{s.Name, ptr.Deref(s.Spec.NodeName, ""), s.Spec.Driver, s.Spec.Pool.Name, columns.Since(s.CreationTimestamp, now)}
		},
	}.Define()
}

// prepareSlice drops what is off by default unless it was in use, and notes when
// devices were tainted.
func prepareSlice(req *resource.Request, s *resourcev1.ResourceSlice, old *resourcev1.ResourceSliceSpec) {
	lists, mappings := false, false
	if old != nil {
		lists = haveLists(old)
		for i := range old.Devices {
			mappings = mappings || len(old.Devices[i].NodeAllocatableResourceMappings) > 0
		}
	}
	for i := range s.Spec.Devices {
		d := &s.Spec.Devices[i]
		if !mappings {
			d.NodeAllocatableResourceMappings = nil
		}
		if was := deviceOf(old, d.Name); was == nil || !check.Equal(&was.Taints, &d.Taints) {
			for j := range d.Taints {
				if d.Taints[j].TimeAdded == nil {
					d.Taints[j].TimeAdded = ptr.To(req.Now.Rfc3339Copy())
				}
			}
		}
		if lists {
			continue
		}
		for name, a := range d.Attributes {
			if isList(&a) {
				a.BoolValues, a.IntValues, a.StringValues, a.VersionValues = nil, nil, nil, nil
				d.Attributes[name] = a
			}
		}
	}
}

// validateSlice checks a slice; old is nil where it is new.
func validateSlice(s, old *resourcev1.ResourceSliceSpec) field.ErrorList {
	at := field.NewPath("spec")
	errs := check.CSIDriverName(s.Driver, at.Child("driver"))
	errs = append(errs, validatePool(&s.Pool, at.Child("pool"))...)
	if old != nil {
		errs = append(errs, check.Unchanged(s.Pool.Name, old.Pool.Name, at.Child("pool", "name"))...)
		errs = append(errs, check.Unchanged(s.Driver, old.Driver, at.Child("driver"))...)
		errs = append(errs, check.Unchanged(s.NodeName, old.NodeName, at.Child("nodeName"))...)
	}
	errs = append(errs, validateReach(s, at)...)
	if s.SharedCounters != nil && s.Devices != nil {
		errs = append(errs, field.Invalid(at, "", "only one of `sharedCounters` or `devices` is allowed"))
	}
	most := resourcev1.ResourceSliceMaxDevices
	if advanced(s) {
		most = resourcev1.ResourceSliceMaxDevicesWithAdvancedFeatures
	}
	each := ptr.Deref(s.PerDeviceNodeSelection, false)
	errs = append(errs, set(s.Devices, most, func(d resourcev1.Device, at *field.Path) field.ErrorList {
		return validateDevice(&d, deviceOf(old, d.Name), each, at)
	}, func(d resourcev1.Device) string { return d.Name }, at.Child("devices"))...)
	return append(errs, set(s.SharedCounters, resourcev1.ResourceSliceMaxCounterSets, validateCounterSet,
		func(c resourcev1.CounterSet) string { return c.Name }, at.Child("sharedCounters"))...)
}

// validateReach: a slice says in one way which nodes reach its devices.
func validateReach(s *resourcev1.ResourceSliceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	var ways []string
	if n := s.NodeName; n != nil {
		if *n == "" {
			errs = append(errs, field.Invalid(at.Child("nodeName"), *n, "must be either unset or set to a non-empty string"))
		} else {
			ways = append(ways, "`nodeName`")
			errs = append(errs, check.NodeName(*n, at.Child("nodeName"))...)
		}
	}
	if n := s.NodeSelector; n != nil {
		ways = append(ways, "`nodeSelector`")
		errs = append(errs, check.NodeSelector(n, false, at.Child("nodeSelector"))...)
		if len(n.NodeSelectorTerms) != 1 {
			errs = append(errs, field.Invalid(at.Child("nodeSelector", "nodeSelectorTerms"), check.GoForm{Value: n.NodeSelectorTerms}, "must have exactly one node selector term"))
		}
	}
	for _, f := range []struct {
		name  string
		value *bool
	}{{"allNodes", s.AllNodes}, {"perDeviceNodeSelection", s.PerDeviceNodeSelection}} {
		switch {
		case f.value == nil:
		case *f.value:
			ways = append(ways, "`"+f.name+"`")
		default:
			errs = append(errs, field.Invalid(at.Child(f.name), false, "must be either unset or set to true"))
		}
	}
	const one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
	switch len(ways) {
	case 0:
		errs = append(errs, field.Required(at, one))
	case 1:
	default:
		errs = append(errs, field.Invalid(at, "{"+strings.Join(ways, ", ")+"}", one+", but multiple fields are set"))
	}
	return errs
}

// advanced reports whether devices have what makes them dear to look at.
func advanced(s *resourcev1.ResourceSliceSpec) bool {
	for i := range s.Devices {
		if len(s.Devices[i].Taints) > 0 || len(s.Devices[i].ConsumesCounters) > 0 {
			return true
		}
	}
	return haveLists(s)
}

func haveLists(s *resourcev1.ResourceSliceSpec) bool {
	for i := range s.Devices {
		for _, a := range s.Devices[i].Attributes {
			if isList(&a) {
				return true
			}
		}
	}
	return false
}

func isList(a *resourcev1.DeviceAttribute) bool {
	return a.BoolValues != nil || a.IntValues != nil || a.StringValues != nil || a.VersionValues != nil
}

func deviceOf(s *resourcev1.ResourceSliceSpec, name string) *resourcev1.Device {
	if s == nil {
		return nil
	}
	for i := range s.Devices {
		if s.Devices[i].Name == name {
			return &s.Devices[i]
		}
	}
	return nil
}

func validatePool(p *resourcev1.ResourcePool, at *field.Path) field.ErrorList {
	errs := poolName(p.Name, at.Child("name"))
	if p.ResourceSliceCount <= 0 {
		errs = append(errs, field.Invalid(at.Child("resourceSliceCount"), p.ResourceSliceCount, check.NotZero))
	}
	if p.Generation < 0 {
		errs = append(errs, field.Invalid(at.Child("generation"), p.Generation, "must be greater than or equal to zero"))
	}
	return errs
}

func validateCounterSet(c resourcev1.CounterSet, at *field.Path) field.ErrorList {
	errs := counterName(c.Name, at.Child("name"))
	return append(errs, counters(c.Counters, resourcev1.ResourceSliceMaxCountersPerCounterSet, at.Child("counters"))...)
}

func counterName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return check.Label(name, at)
}

// counters may have any values.
func counters(c map[string]resourcev1.Counter, most int, at *field.Path) field.ErrorList {
	if len(c) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	return table(c, most, validation.DNS1123LabelMaxLength, check.Label,
		func(resourcev1.Counter, *field.Path) field.ErrorList { return nil }, at)
}
