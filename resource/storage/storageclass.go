package storage

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// StorageClass is the row of storage classes.
func StorageClass() *resource.Definition {
	doc := storagev1.StorageClass{}.SwaggerDoc()
	return resource.Row[*storagev1.StorageClass]{
		Storage:       storagev1.SchemeGroupVersion,
		Kind:          "StorageClass",
		Plural:        "storageclasses",
		ShortNames:    []string{"sc"},
		ClusterScoped: true,
		New:           func() *storagev1.StorageClass { return new(storagev1.StorageClass) },
		NewList:       func() runtime.Object { return new(storagev1.StorageClassList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Default: func(c *storagev1.StorageClass) {
			if c.ReclaimPolicy == nil {
				c.ReclaimPolicy = new(corev1.PersistentVolumeReclaimDelete)
			}
			if c.VolumeBindingMode == nil {
				c.VolumeBindingMode = new(storagev1.VolumeBindingImmediate)
			}
		},
		Warnings:       storageClassWarnings,
		Validate:       validateStorageClass,
		ValidateUpdate: validateStorageClassUpdate,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Provisioner", doc["provisioner"]),
			columns.String("ReclaimPolicy", doc["reclaimPolicy"]),
			columns.String("VolumeBindingMode", doc["volumeBindingMode"]),
			columns.String("AllowVolumeExpansion", doc["allowVolumeExpansion"]),
			columns.Age(),
		},
		Cells: func(c *storagev1.StorageClass, now time.Time) []any {
			return []any{
				defaultCell(c.Name, c.Annotations, "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
				c.Provisioner,
				string(ptr.Deref(c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)),
				string(ptr.Deref(c.VolumeBindingMode, storagev1.VolumeBindingImmediate)),
				ptr.Deref(c.AllowVolumeExpansion, false),
				columns.Since(c.CreationTimestamp, now),
			}
		},
	}.Define()
}

func validateStorageClass(c *storagev1.StorageClass) field.ErrorList {
	errs := validateProvisioner(c.Provisioner, field.NewPath("provisioner"))
	errs = append(errs, validateParameters(c.Parameters, true, field.NewPath("parameters"))...)
	if p := c.ReclaimPolicy; p != nil && *p != "" {
		errs = append(errs, check.OneOf(*p, []corev1.PersistentVolumeReclaimPolicy{
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain,
		}, field.NewPath("reclaimPolicy"))...)
	}
	if m := c.VolumeBindingMode; m == nil {
		errs = append(errs, field.Required(field.NewPath("volumeBindingMode"), ""))
	} else {
		errs = append(errs, check.OneOf(*m, []storagev1.VolumeBindingMode{
			storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer,
		}, field.NewPath("volumeBindingMode"))...)
	}
	at := field.NewPath("allowedTopologies")
	for i := range c.AllowedTopologies {
		t := &c.AllowedTopologies[i]
		errs = append(errs, check.TopologySelectorTerm(t, at.Index(i))...)
		if len(t.MatchLabelExpressions) == 0 {
			// A term that says nothing is told as one that was said before.
			errs = append(errs, field.Duplicate(at.Index(i).Child("matchLabelExpressions"), ""))
		}
		for k := range c.AllowedTopologies[:i] {
			if sameTerm(t, &c.AllowedTopologies[k]) {
				errs = append(errs, field.Duplicate(at.Index(i).Child("matchLabelExpressions"), ""))
			}
		}
	}
	return errs
}

// storageClassWarnings: a class whose topologies name labels that nodes no
// longer get selects nothing.
func storageClassWarnings(c, _ *storagev1.StorageClass) []string {
	var out []string
	for i := range c.AllowedTopologies {
		for k, e := range c.AllowedTopologies[i].MatchLabelExpressions {
			if why := core.DeprecatedNodeLabel(e.Key); why != "" {
				at := field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(k).Child("key")
				out = append(out, at.String()+": "+why)
			}
		}
	}
	return out
}

// sameTerm reports whether two terms select the same nodes, in whatever order
// they say so.
func sameTerm(a, b *corev1.TopologySelectorTerm) bool {
	sets := func(t *corev1.TopologySelectorTerm) map[string]map[string]bool {
		out := map[string]map[string]bool{}
		for _, e := range t.MatchLabelExpressions {
			out[e.Key] = map[string]bool{}
			for _, v := range e.Values {
				out[e.Key][v] = true
			}
		}
		return out
	}
	return check.Equal(sets(a), sets(b))
}

// validateStorageClassUpdate: volumes were made by what the class said then, so
// it says it for ever.
func validateStorageClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	errs := validateStorageClass(c)
	errs = append(errs, check.Unchanged(c.Parameters, old.Parameters, field.NewPath("parameters"))...)
	errs = append(errs, check.Unchanged(c.Provisioner, old.Provisioner, field.NewPath("provisioner"))...)
	errs = append(errs, check.Unchanged(c.ReclaimPolicy, old.ReclaimPolicy, field.NewPath("reclaimPolicy"))...)
	return append(errs, check.Unchanged(c.VolumeBindingMode, old.VolumeBindingMode, field.NewPath("volumeBindingMode"))...)
}
