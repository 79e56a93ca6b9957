package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// RuntimeClass is the row of runtime classes.
func RuntimeClass() *resource.Definition {
	return resource.Row[*nodev1.RuntimeClass]{
		Storage:                nodev1.SchemeGroupVersion,
		Kind:                   "RuntimeClass",
		AnyFinalizer:           true,
		Plural:                 "runtimeclasses",
		ClusterScoped:          true,
		RequireResourceVersion: true,
		New:                    func() *nodev1.RuntimeClass { return new(nodev1.RuntimeClass) },
		NewList:                func() runtime.Object { return new(nodev1.RuntimeClassList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Validate:               validateRuntimeClass,
		ValidateUpdate: func(c, old *nodev1.RuntimeClass) field.ErrorList {
			errs := validateRuntimeClass(c)
			return append(errs, check.Unchanged(c.Handler, old.Handler, field.NewPath("handler"))...)
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Handler", nodev1.RuntimeClass{}.SwaggerDoc()["handler"]),
			columns.Age(),
		},
		Cells: func(c *nodev1.RuntimeClass, now time.Time) []any {
			return []any{c.Name, c.Handler, columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

func validateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	var errs field.ErrorList
	if at := field.NewPath("handler"); c.Handler == "" {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, check.Label(c.Handler, at)...)
	}
	if c.Overhead != nil {
		errs = append(errs, check.Requirements(&corev1.ResourceRequirements{Limits: c.Overhead.PodFixed},
			check.ContainerResourceName, false, field.NewPath("overhead"))...)
	}
	if s := c.Scheduling; s != nil {
		at := field.NewPath("scheduling")
		errs = append(errs, metavalidation.ValidateLabels(s.NodeSelector, at.Child("nodeSelector"))...)
		errs = append(errs, check.Tolerations(s.Tolerations, at.Child("tolerations"))...)
		seen := map[corev1.Toleration]bool{}
		for i, t := range s.Tolerations {
			t.TolerationSeconds = nil
			if seen[t] {
				errs = append(errs, field.Duplicate(at.Child("tolerations").Index(i), check.GoForm{Value: s.Tolerations[i]}))
			}
			seen[t] = true
		}
	}
	return errs
}
