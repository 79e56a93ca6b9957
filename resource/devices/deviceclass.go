package devices

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// DeviceClass is the row of device classes: conditions and parameters that an
// administrator has chosen, and that claims name.
func DeviceClass() *resource.Definition {
	return resource.Row[*resourcev1.DeviceClass]{
		Storage:       resourcev1.SchemeGroupVersion,
		Kind:          "DeviceClass",
		Plural:        "deviceclasses",
		ClusterScoped: true,
		New:           func() *resourcev1.DeviceClass { return new(resourcev1.DeviceClass) },
		NewList:       func() runtime.Object { return new(resourcev1.DeviceClassList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Validate: func(c *resourcev1.DeviceClass) field.ErrorList {
			return validateClass(&c.Spec, &resourcev1.DeviceClassSpec{})
		},
		ValidateUpdate: func(c, old *resourcev1.DeviceClass) field.ErrorList { return validateClass(&c.Spec, &old.Spec) },
		Spec:           func(c *resourcev1.DeviceClass) any { return &c.Spec },
		Columns:        []metav1.TableColumnDefinition{columns.Name(), columns.Age()},
		Cells: func(c *resourcev1.DeviceClass, now time.Time) []any {
			return []any{c.Name, columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

// validateClass: lists that are as they were count as stored.
func validateClass(s, old *resourcev1.DeviceClassSpec) field.ErrorList {
	at := field.NewPath("spec")
	errs := selectors(s.Selectors, len(old.Selectors) > 0 && check.Equal(&s.Selectors, &old.Selectors), at.Child("selectors"))
	stored := len(old.Config) > 0 && check.Equal(&s.Config, &old.Config)
	errs = append(errs, list(s.Config, resourcev1.DeviceConfigMaxSize, func(c resourcev1.DeviceClassConfiguration, at *field.Path) field.ErrorList {
		return validateConfiguration(c.DeviceConfiguration, stored, at)
	}, at.Child("config"))...)
	if n := s.ExtendedResourceName; n != nil && !check.IsExtendedResource(corev1.ResourceName(*n)) {
		errs = append(errs, field.Invalid(at.Child("extendedResourceName"), *n, "must be a valid extended resource name"))
	}
	return errs
}
