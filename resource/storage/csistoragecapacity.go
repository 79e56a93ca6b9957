package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// CSIStorageCapacity is the row of CSI storage capacities: how much room a
// class has left in a part of the cluster.
func CSIStorageCapacity() *resource.Definition {
	doc := storagev1.CSIStorageCapacity{}.SwaggerDoc()
	return resource.Row[*storagev1.CSIStorageCapacity]{
		Storage:                storagev1.SchemeGroupVersion,
		Kind:                   "CSIStorageCapacity",
		Plural:                 "csistoragecapacities",
		RequireResourceVersion: true,
		New:                    func() *storagev1.CSIStorageCapacity { return new(storagev1.CSIStorageCapacity) },
		NewList:                func() runtime.Object { return new(storagev1.CSIStorageCapacityList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Validate:               func(c *storagev1.CSIStorageCapacity) field.ErrorList { return validateCapacity(c, false) },
		ValidateUpdate: func(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
			errs := validateCapacity(c, metavalidation.LabelSelectorHasInvalidLabelValue(old.NodeTopology))
			// What a driver is asked for stays; only its answer changes.
			errs = append(errs, check.Unchanged(c.NodeTopology, old.NodeTopology, field.NewPath("nodeTopology"))...)
			return append(errs, check.Unchanged(c.StorageClassName, old.StorageClassName, field.NewPath("storageClassName"))...)
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("StorageClassName", doc["storageClassName"]),
			columns.String("Capacity", doc["capacity"]),
		},
		Cells: func(c *storagev1.CSIStorageCapacity, _ time.Time) []any {
			capacity := columns.Unset
			if c.Capacity != nil {
				capacity = c.Capacity.String()
			}
			return []any{c.Name, c.StorageClassName, capacity}
		},
	}.Define()
}

func validateCapacity(c *storagev1.CSIStorageCapacity, lax bool) field.ErrorList {
	errs := metavalidation.ValidateLabelSelector(c.NodeTopology,
		metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: lax}, field.NewPath("nodeTopology"))
	errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(c.StorageClassName, false), c.StorageClassName, field.NewPath("storageClassName"))...)
	if c.Capacity != nil {
		errs = append(errs, check.QuantityNonNegative(*c.Capacity, field.NewPath("capacity"))...)
	}
	return errs
}
