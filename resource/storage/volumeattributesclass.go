package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// VolumeAttributesClass is the row of volume attributes classes: sets of
// parameters that a volume can be changed to while it is in use.
func VolumeAttributesClass() *resource.Definition {
	return resource.Row[*storagev1.VolumeAttributesClass]{
		Storage:       storagev1.SchemeGroupVersion,
		Kind:          "VolumeAttributesClass",
		Plural:        "volumeattributesclasses",
		ShortNames:    []string{"vac"},
		ClusterScoped: true,
		New:           func() *storagev1.VolumeAttributesClass { return new(storagev1.VolumeAttributesClass) },
		NewList:       func() runtime.Object { return new(storagev1.VolumeAttributesClassList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Validate:      validateVolumeAttributesClass,
		ValidateUpdate: func(c, old *storagev1.VolumeAttributesClass) field.ErrorList {
			var errs field.ErrorList
			if c.DriverName != old.DriverName {
				errs = append(errs, field.Forbidden(field.NewPath("driverName"), "updates to driverName are forbidden."))
			}
			if !check.Equal(c.Parameters, old.Parameters) {
				errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
			}
			return append(errs, validateVolumeAttributesClass(c)...)
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"]),
			columns.Age(),
		},
		Cells: func(c *storagev1.VolumeAttributesClass, now time.Time) []any {
			return []any{
				defaultCell(c.Name, c.Annotations, "volumeattributesclass.alpha.kubernetes.io/is-default-class"),
				c.DriverName, columns.Since(c.CreationTimestamp, now),
			}
		},
	}.Define()
}

func validateVolumeAttributesClass(c *storagev1.VolumeAttributesClass) field.ErrorList {
	errs := validateProvisioner(c.DriverName, field.NewPath("driverName"))
	return append(errs, validateParameters(c.Parameters, false, field.NewPath("parameters"))...)
}
