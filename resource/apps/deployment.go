package apps

import (
	"fmt"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/autoscaling"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// Deployment is the row of deployments.
func Deployment() *resource.Definition {
	spec, status := appsv1.DeploymentSpec{}.SwaggerDoc(), appsv1.DeploymentStatus{}.SwaggerDoc()
	return resource.Row[*appsv1.Deployment]{
		Storage:      appsv1.SchemeGroupVersion,
		Kind:         "Deployment",
		Plural:       "deployments",
		ShortNames:   []string{"deploy"},
		Categories:   []string{"all"},
		New:          func() *appsv1.Deployment { return new(appsv1.Deployment) },
		NewList:      func() runtime.Object { return new(appsv1.DeploymentList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultDeployment,
		PrepareCreate: func(_ *resource.Request, d *appsv1.Deployment) {
			d.Status = appsv1.DeploymentStatus{}
			core.DropDisabledTemplateFields(&d.Spec.Template, nil)
		},
		PrepareUpdate: func(_ *resource.Request, d, old *appsv1.Deployment) {
			d.Status = *old.Status.DeepCopy()
			core.DropDisabledTemplateFields(&d.Spec.Template, &old.Spec.Template)
		},
		Validate:       func(d *appsv1.Deployment) field.ErrorList { return validateDeployment(d, nil) },
		ValidateUpdate: validateDeploymentUpdate,
		Warnings: func(d, old *appsv1.Deployment) []string {
			if old == nil {
				return templateWarnings(d, &d.Spec.Template, nil, nil)
			}
			return templateWarnings(d, &d.Spec.Template, old, &old.Spec.Template)
		},
		// The annotations count too: the controller copies them to the replica
		// sets, so it has something to observe when they change.
		Spec: func(d *appsv1.Deployment) any { return []any{&d.Spec, d.Annotations} },
		Updates: map[string]resource.Update[*appsv1.Deployment]{
			"status": {
				Restored: []string{"metadata.labels"},
				PrepareUpdate: func(_ *resource.Request, d, old *appsv1.Deployment) {
					d.Spec, d.Labels = *old.Spec.DeepCopy(), maps.Clone(old.Labels)
				},
				ValidateUpdate: validateDeploymentStatus,
			},
		},
		Scale: &resource.Scale[*appsv1.Deployment]{
			Get: func(d *appsv1.Deployment) *autoscalingv1.Scale {
				return autoscaling.NewScale(d, ptr.Deref(d.Spec.Replicas, 0), d.Status.Replicas, autoscaling.SelectorQuery(d.Spec.Selector))
			},
			Set:          func(d *appsv1.Deployment, n int32) { d.Spec.Replicas = &n },
			ReplicasPath: []string{"spec", "replicas"},
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Ready", "Number of the pod with ready state"),
			columns.String("Up-to-date", status["updatedReplicas"]),
			columns.String("Available", status["availableReplicas"]),
			columns.Age(),
		}, append(columns.ContainerColumns(), columns.Wide(columns.String("Selector", spec["selector"])))...),
		Cells: func(d *appsv1.Deployment, now time.Time) []any {
			names, images := columns.Containers(d.Spec.Template.Spec.Containers)
			return []any{
				d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, ptr.Deref(d.Spec.Replicas, 0)),
				int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), columns.Since(d.CreationTimestamp, now),
				names, images, autoscaling.SelectorQuery(d.Spec.Selector),
			}
		},
	}.Define()
}

func defaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	if s.Replicas == nil {
		s.Replicas = new(int32(1))
	}
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.Strategy.RollingUpdate == nil {
			s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		r := s.Strategy.RollingUpdate
		if r.MaxUnavailable == nil {
			r.MaxUnavailable = new(intstr.FromString("25%"))
		}
		if r.MaxSurge == nil {
			r.MaxSurge = new(intstr.FromString("25%"))
		}
	}
	if s.RevisionHistoryLimit == nil {
		s.RevisionHistoryLimit = new(int32(10))
	}
	if s.ProgressDeadlineSeconds == nil {
		s.ProgressDeadlineSeconds = new(int32(600))
	}
	core.DefaultPodSpec(&s.Template.Spec)
}

// validateDeployment checks a deployment; old is nil at creation.
func validateDeployment(d, old *appsv1.Deployment) field.ErrorList {
	s, at := &d.Spec, field.NewPath("spec")
	var oldTemplate *corev1.PodTemplateSpec
	if old != nil {
		oldTemplate = &old.Spec.Template
	}
	errs := check.NonNegative(int64(ptr.Deref(s.Replicas, 0)), at.Child("replicas"))
	errs = append(errs, validateSelector(s.Selector, "deployment", at.Child("selector"))...)
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err != nil {
		errs = append(errs, field.Invalid(at.Child("selector"), s.Selector, "invalid label selector"))
	} else {
		errs = append(errs, validateReplicaTemplate(&s.Template, oldTemplate, selector, at.Child("template"))...)
	}
	errs = append(errs, validateDeploymentStrategy(&s.Strategy, at.Child("strategy"))...)
	errs = append(errs, check.NonNegative(int64(s.MinReadySeconds), at.Child("minReadySeconds"))...)
	if n := s.RevisionHistoryLimit; n != nil {
		errs = append(errs, check.NonNegative(int64(*n), at.Child("revisionHistoryLimit"))...)
	}
	if n := s.ProgressDeadlineSeconds; n != nil {
		errs = append(errs, check.NonNegative(int64(*n), at.Child("progressDeadlineSeconds"))...)
		if *n <= s.MinReadySeconds {
			errs = append(errs, field.Invalid(at.Child("progressDeadlineSeconds"), *n, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func validateDeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return append(validateDeployment(d, old),
		check.Unchanged(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
}

func validateDeploymentStrategy(s *appsv1.DeploymentStrategy, at *field.Path) field.ErrorList {
	rolling := at.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(rolling, "may not be specified when strategy `type` is '"+string(appsv1.RecreateDeploymentStrategyType)+"'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
	default:
		return field.ErrorList{field.NotSupported(at, check.GoForm{Value: s}, []string{
			string(appsv1.RecreateDeploymentStrategyType), string(appsv1.RollingUpdateDeploymentStrategyType),
		})}
	}
	r := s.RollingUpdate
	if r == nil {
		return field.ErrorList{field.Required(rolling, "this should be defaulted and never be nil")}
	}
	errs := check.CountOrPercent(r.MaxUnavailable, rolling.Child("maxUnavailable"))
	errs = append(errs, check.CountOrPercent(r.MaxSurge, rolling.Child("maxSurge"))...)
	if check.Amount(r.MaxUnavailable) == 0 && check.Amount(r.MaxSurge) == 0 {
		// Nothing could be replaced.
		errs = append(errs, field.Invalid(rolling.Child("maxUnavailable"), r.MaxUnavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, check.AtMost100Percent(r.MaxUnavailable, rolling.Child("maxUnavailable"))...)
}

func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	s, at := &d.Status, field.NewPath("status")
	errs := validateCounts(at,
		count{"observedGeneration", s.ObservedGeneration},
		count{"replicas", int64(s.Replicas)},
		count{"updatedReplicas", int64(s.UpdatedReplicas)},
		count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)},
		count{"unavailableReplicas", int64(s.UnavailableReplicas)})
	errs = append(errs, validateOptionalCount(at, "terminatingReplicas", s.TerminatingReplicas)...)
	errs = append(errs, validateOptionalCount(at, "collisionCount", s.CollisionCount)...)
	errs = append(errs, validateNoMore(at, int64(s.Replicas), "cannot be greater than status.replicas",
		count{"updatedReplicas", int64(s.UpdatedReplicas)},
		count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	errs = append(errs, validateNoMore(at, int64(s.ReadyReplicas), "cannot be greater than readyReplicas",
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	return append(errs, validateNotDecremented(s.CollisionCount, old.Status.CollisionCount, at.Child("collisionCount"))...)
}
