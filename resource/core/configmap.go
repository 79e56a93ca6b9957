package core

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
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

// ConfigMap is the row of config maps.
func ConfigMap() *resource.Definition {
	return resource.Row[*corev1.ConfigMap]{
		Storage:      corev1.SchemeGroupVersion,
		Kind:         "ConfigMap",
		Plural:       "configmaps",
		ShortNames:   []string{"cm"},
		New:          func() *corev1.ConfigMap { return new(corev1.ConfigMap) },
		NewList:      func() runtime.Object { return new(corev1.ConfigMapList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default: func(cm *corev1.ConfigMap) {
			if cm.Data == nil {
				cm.Data = map[string]string{}
			}
		},
		Validate:       validateConfigMap,
		ValidateUpdate: validateConfigMapUpdate,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Data", corev1.ConfigMap{}.SwaggerDoc()["data"]),
			columns.Age(),
		},
		Cells: func(cm *corev1.ConfigMap, now time.Time) []any {
			return []any{cm.Name, int64(len(cm.Data) + len(cm.BinaryData)), columns.Since(cm.CreationTimestamp, now)}
		},
	}.Define()
}

// validateConfigMap visits keys in order, so that errors come in an order too.
func validateConfigMap(cm *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	total := 0
	for _, k := range slices.Sorted(maps.Keys(cm.Data)) {
		errs = append(errs, check.Messages(validation.IsConfigMapKey(k), k, field.NewPath("data").Key(k))...)
		if _, twice := cm.BinaryData[k]; twice {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(k), k, "duplicate of key present in binaryData"))
		}
		total += len(cm.Data[k])
	}
	for _, k := range slices.Sorted(maps.Keys(cm.BinaryData)) {
		errs = append(errs, check.Messages(validation.IsConfigMapKey(k), k, field.NewPath("binaryData").Key(k))...)
		total += len(cm.BinaryData[k])
	}
	if total > corev1.MaxSecretSize {
		// The path is empty: the whole object is too large.
		errs = append(errs, field.TooLong(field.NewPath(""), "" /* not shown */, corev1.MaxSecretSize))
	}
	return errs
}

func validateConfigMapUpdate(cm, old *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	if ptr.Deref(old.Immutable, false) {
		const why = "field is immutable when `immutable` is set"
		if !ptr.Deref(cm.Immutable, false) {
			errs = append(errs, field.Forbidden(field.NewPath("immutable"), why))
		}
		if !maps.Equal(cm.Data, old.Data) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), why))
		}
		if !maps.EqualFunc(cm.BinaryData, old.BinaryData, slices.Equal) {
			errs = append(errs, field.Forbidden(field.NewPath("binaryData"), why))
		}
	}
	return append(errs, validateConfigMap(cm)...)
}
