package apps

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/autoscaling"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// ReplicaSet is the row of replica sets.
func ReplicaSet() *resource.Definition {
	spec, status := appsv1.ReplicaSetSpec{}.SwaggerDoc(), appsv1.ReplicaSetStatus{}.SwaggerDoc()
	return resource.Row[*appsv1.ReplicaSet]{
		Storage:      appsv1.SchemeGroupVersion,
		Kind:         "ReplicaSet",
		Plural:       "replicasets",
		ShortNames:   []string{"rs"},
		Categories:   []string{"all"},
		New:          func() *appsv1.ReplicaSet { return new(appsv1.ReplicaSet) },
		NewList:      func() runtime.Object { return new(appsv1.ReplicaSetList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default: func(r *appsv1.ReplicaSet) {
			if r.Spec.Replicas == nil {
				r.Spec.Replicas = new(int32(1))
			}
			core.DefaultPodSpec(&r.Spec.Template.Spec)
		},
		PrepareCreate: func(_ *resource.Request, r *appsv1.ReplicaSet) {
			r.Status = appsv1.ReplicaSetStatus{}
			core.DropDisabledTemplateFields(&r.Spec.Template, nil)
		},
		PrepareUpdate: func(_ *resource.Request, r, old *appsv1.ReplicaSet) {
			r.Status = *old.Status.DeepCopy()
			core.DropDisabledTemplateFields(&r.Spec.Template, &old.Spec.Template)
		},
		Validate: func(r *appsv1.ReplicaSet) field.ErrorList { return validateReplicaSet(r, nil) },
		ValidateUpdate: func(r, old *appsv1.ReplicaSet) field.ErrorList {
			return append(validateReplicaSet(r, old),
				check.Unchanged(r.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
		},
		Warnings: func(r, old *appsv1.ReplicaSet) []string {
			if old == nil {
				return templateWarnings(r, &r.Spec.Template, nil, nil)
			}
			return templateWarnings(r, &r.Spec.Template, old, &old.Spec.Template)
		},
		Spec: func(r *appsv1.ReplicaSet) any { return &r.Spec },
		Updates: map[string]resource.Update[*appsv1.ReplicaSet]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, r, old *appsv1.ReplicaSet) {
					r.Spec = *old.Spec.DeepCopy()
				},
				ValidateUpdate: func(r, _ *appsv1.ReplicaSet) field.ErrorList { return validateReplicaSetStatus(&r.Status) },
			},
		},
		Scale: &resource.Scale[*appsv1.ReplicaSet]{
			Get: func(r *appsv1.ReplicaSet) *autoscalingv1.Scale {
				return autoscaling.NewScale(r, ptr.Deref(r.Spec.Replicas, 0), r.Status.Replicas, autoscaling.SelectorQuery(r.Spec.Selector))
			},
			Set:          func(r *appsv1.ReplicaSet, n int32) { r.Spec.Replicas = &n },
			ReplicasPath: []string{"spec", "replicas"},
		},
		Fields: func(r *appsv1.ReplicaSet) map[string]string {
			return map[string]string{"status.replicas": strconv.Itoa(int(r.Status.Replicas))}
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Desired", spec["replicas"]),
			columns.Integer("Current", status["replicas"]),
			columns.Integer("Ready", status["readyReplicas"]),
			columns.Age(),
		}, append(columns.ContainerColumns(), columns.Wide(columns.String("Selector", spec["selector"])))...),
		Cells: func(r *appsv1.ReplicaSet, now time.Time) []any {
			names, images := columns.Containers(r.Spec.Template.Spec.Containers)
			return []any{
				r.Name, int64(ptr.Deref(r.Spec.Replicas, 0)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
				columns.Since(r.CreationTimestamp, now), names, images, columns.Selector(r.Spec.Selector),
			}
		},
	}.Define()
}

// validateReplicaSet checks a replica set; old is nil at creation.
func validateReplicaSet(r, old *appsv1.ReplicaSet) field.ErrorList {
	s, at := &r.Spec, field.NewPath("spec")
	var oldTemplate *corev1.PodTemplateSpec
	if old != nil {
		oldTemplate = &old.Spec.Template
	}
	errs := check.NonNegative(int64(ptr.Deref(s.Replicas, 0)), at.Child("replicas"))
	errs = append(errs, check.NonNegative(int64(s.MinReadySeconds), at.Child("minReadySeconds"))...)
	// Upstream's message speaks of a deployment here too.
	errs = append(errs, validateSelector(s.Selector, "deployment", at.Child("selector"))...)
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	if err != nil {
		return append(errs, field.Invalid(at.Child("selector"), s.Selector, "invalid label selector"))
	}
	return append(errs, validateReplicaTemplate(&s.Template, oldTemplate, selector, at.Child("template"))...)
}

func validateReplicaSetStatus(s *appsv1.ReplicaSetStatus) field.ErrorList {
	at := field.NewPath("status")
	errs := validateCounts(at,
		count{"replicas", int64(s.Replicas)},
		count{"fullyLabeledReplicas", int64(s.FullyLabeledReplicas)},
		count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)},
		count{"observedGeneration", s.ObservedGeneration})
	errs = append(errs, validateOptionalCount(at, "terminatingReplicas", s.TerminatingReplicas)...)
	errs = append(errs, validateNoMore(at, int64(s.Replicas), "cannot be greater than status.replicas",
		count{"fullyLabeledReplicas", int64(s.FullyLabeledReplicas)},
		count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	return append(errs, validateNoMore(at, int64(s.ReadyReplicas), "cannot be greater than readyReplicas",
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
}
