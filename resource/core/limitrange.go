package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// LimitRange is the row of limit ranges.
func LimitRange() *resource.Definition {
	return resource.Row[*corev1.LimitRange]{
		Storage:        corev1.SchemeGroupVersion,
		Kind:           "LimitRange",
		Plural:         "limitranges",
		ShortNames:     []string{"limits"},
		New:            func() *corev1.LimitRange { return new(corev1.LimitRange) },
		NewList:        func() runtime.Object { return new(corev1.LimitRangeList) },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		CreateOnUpdate: true,
		Default:        defaultLimitRange,
		PrepareCreate: func(_ *resource.Request, l *corev1.LimitRange) {
			if l.Name == "" { // It is the only kind that needs no name.
				l.Name = string(l.UID)
			}
		},
		Validate:       validateLimitRange,
		ValidateUpdate: func(l, _ *corev1.LimitRange) field.ErrorList { return validateLimitRange(l) },
		Columns:        []metav1.TableColumnDefinition{columns.Name(), columns.CreatedAt()},
		Cells: func(l *corev1.LimitRange, _ time.Time) []any {
			return []any{l.Name, l.CreationTimestamp.UTC().Format(time.RFC3339)}
		},
	}.Define()
}

// defaultLimitRange completes the defaults of containers from each other: a
// limit from the maximum, a request from the limit or else from the minimum.
func defaultLimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		for _, list := range []*corev1.ResourceList{&item.Max, &item.Min, &item.Default, &item.DefaultRequest, &item.MaxLimitRequestRatio} {
			roundUp(list)
		}
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		fill := func(to *corev1.ResourceList, from corev1.ResourceList) {
			if *to == nil {
				*to = corev1.ResourceList{}
			}
			for name, q := range from {
				if _, ok := (*to)[name]; !ok {
					(*to)[name] = q.DeepCopy()
				}
			}
		}
		fill(&item.Default, item.Max)
		fill(&item.DefaultRequest, item.Default)
		fill(&item.DefaultRequest, item.Min)
	}
}

func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	var errs field.ErrorList
	types := map[corev1.LimitType]bool{}
	for i := range l.Spec.Limits {
		item, at := &l.Spec.Limits[i], specPath.Child("limits").Index(i)
		errs = append(errs, validateLimitType(item.Type, at.Child("type"))...)
		if types[item.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), item.Type))
		}
		types[item.Type] = true
		errs = append(errs, validateLimitRangeItem(item, at)...)
	}
	return errs
}

var limitTypes = []corev1.LimitType{corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim}

func validateLimitType(t corev1.LimitType, at *field.Path) field.ErrorList {
	errs := check.QualifiedName(string(t), at)
	if len(errs) == 0 && !strings.Contains(string(t), "/") && !slices.Contains(limitTypes, t) {
		errs = append(errs, field.Invalid(at, t, "must be a standard limit type or fully qualified"))
	}
	return errs
}

func validateLimitRangeItem(item *corev1.LimitRangeItem, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	nameRule := check.ResourceName
	if item.Type == corev1.LimitTypePod || item.Type == corev1.LimitTypeContainer {
		nameRule = check.ContainerResourceName
	}
	keys := sets.New[corev1.ResourceName]()
	names := func(l corev1.ResourceList, child string) {
		for _, name := range sortedKeys(l) {
			errs = append(errs, nameRule(name, at.Child(child).Key(string(name)))...)
			keys.Insert(name)
		}
	}
	names(item.Max, "max")
	names(item.Min, "min")
	if item.Type == corev1.LimitTypePod {
		const why = "may not be specified when `type` is 'Pod'"
		if len(item.Default) > 0 {
			errs = append(errs, field.Forbidden(at.Child("default"), why))
		}
		if len(item.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(at.Child("defaultRequest"), why))
		}
	} else {
		names(item.Default, "default")
		names(item.DefaultRequest, "defaultRequest")
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, minimum := item.Min[corev1.ResourceStorage]
		_, maximum := item.Max[corev1.ResourceStorage]
		if !minimum && !maximum {
			errs = append(errs, field.Required(at.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	names(item.MaxLimitRequestRatio, "maxLimitRequestRatio")
	for _, name := range sets.List(keys) {
		errs = append(errs, validateLimitsOf(item, name, at)...)
	}
	return errs
}

// validateLimitsOf compares the limits of one resource with each other.
func validateLimitsOf(item *corev1.LimitRangeItem, name corev1.ResourceName, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	lowest, hasMin := item.Min[name]
	highest, hasMax := item.Max[name]
	limit, hasLimit := item.Default[name]
	request, hasRequest := item.DefaultRequest[name]
	if item.Type == corev1.LimitTypePod {
		hasLimit, hasRequest = false, false
	}
	ratio, hasRatio := item.MaxLimitRequestRatio[name]
	ordered := func(both bool, a, b quantity.Quantity, child string, value quantity.Quantity, format string) {
		if both && a.Cmp(b) > 0 {
			errs = append(errs, field.Invalid(at.Child(child).Key(string(name)), value, fmt.Sprintf(format, a.String(), b.String())))
		}
	}
	ordered(hasMin && hasMax, lowest, highest, "min", lowest, "min value %s is greater than max value %s")
	ordered(hasRequest && hasMin, lowest, request, "defaultRequest", request, "min value %s is greater than default request value %s")
	ordered(hasRequest && hasMax, request, highest, "defaultRequest", request, "default request value %s is greater than max value %s")
	ordered(hasRequest && hasLimit, request, limit, "defaultRequest", request, "default request value %s is greater than default limit value %s")
	ordered(hasLimit && hasMin, lowest, limit, "default", lowest, "min value %s is greater than default value %s")
	ordered(hasLimit && hasMax, limit, highest, "default", highest, "default value %s is greater than max value %s")
	if hasRatio {
		at := at.Child("maxLimitRequestRatio").Key(string(name))
		if ratio.Cmp(*quantity.NewQuantity(1, quantity.DecimalSI)) < 0 {
			errs = append(errs, field.Invalid(at, ratio, fmt.Sprintf("ratio %s is less than 1", ratio.String())))
		}
		if hasMin && hasMax {
			if bound := ratioOf(highest, lowest); ratio.AsApproximateFloat64() > bound {
				errs = append(errs, field.Invalid(at, ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), bound)))
			}
		}
	}
	if !check.IsOvercommitAllowed(name) && hasLimit && hasRequest && limit.Cmp(request) != 0 {
		errs = append(errs, field.Invalid(at.Child("defaultRequest").Key(string(name)), request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name)))
	}
	return errs
}

func ratioOf(a, b quantity.Quantity) float64 {
	return a.AsApproximateFloat64() / b.AsApproximateFloat64()
}
