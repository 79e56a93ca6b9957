package core

import (
	"maps"
	"strconv"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/autoscaling"
	"proa/resource/check"
	"proa/resource/columns"
)

// ReplicationController is the row of what replica sets have replaced.
func ReplicationController() *resource.Definition {
	spec, status := corev1.ReplicationControllerSpec{}.SwaggerDoc(), corev1.ReplicationControllerStatus{}.SwaggerDoc()
	return resource.Row[*corev1.ReplicationController]{
		Storage:         corev1.SchemeGroupVersion,
		Kind:            "ReplicationController",
		Plural:          "replicationcontrollers",
		ShortNames:      []string{"rc"},
		Categories:      []string{"all"},
		Prefix:          "controllers",
		OrphanByDefault: true,
		New:             func() *corev1.ReplicationController { return new(corev1.ReplicationController) },
		NewList:         func() runtime.Object { return new(corev1.ReplicationControllerList) },
		ValidateName:    apivalidation.NameIsDNSSubdomain,
		Default:         defaultReplicationController,
		PrepareCreate: func(_ *resource.Request, rc *corev1.ReplicationController) {
			rc.Status = corev1.ReplicationControllerStatus{}
			if rc.Spec.Template != nil {
				DropDisabledTemplateFields(rc.Spec.Template, nil)
			}
		},
		PrepareUpdate: func(_ *resource.Request, rc, old *corev1.ReplicationController) {
			rc.Status = old.Status
			if rc.Spec.Template != nil {
				DropDisabledTemplateFields(rc.Spec.Template, old.Spec.Template)
			}
		},
		Validate: func(rc *corev1.ReplicationController) field.ErrorList {
			return validateReplicationController(rc, nil)
		},
		ValidateUpdate: validateReplicationController,
		Warnings:       replicationControllerWarnings,
		Spec:           func(rc *corev1.ReplicationController) any { return &rc.Spec },
		Updates: map[string]resource.Update[*corev1.ReplicationController]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, rc, old *corev1.ReplicationController) { rc.Spec = old.Spec },
				ValidateUpdate: func(rc, _ *corev1.ReplicationController) field.ErrorList {
					return validateReplicationControllerStatus(&rc.Status)
				},
			},
		},
		Scale: &resource.Scale[*corev1.ReplicationController]{
			Get: func(rc *corev1.ReplicationController) *autoscalingv1.Scale {
				return autoscaling.NewScale(rc, ptr.Deref(rc.Spec.Replicas, 0), rc.Status.Replicas, labels.Set(rc.Spec.Selector).AsSelector().String())
			},
			Set:          func(rc *corev1.ReplicationController, n int32) { rc.Spec.Replicas = &n },
			ReplicasPath: []string{"spec", "replicas"},
		},
		Fields: func(rc *corev1.ReplicationController) map[string]string {
			return map[string]string{"status.replicas": strconv.Itoa(int(rc.Status.Replicas))}
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Desired", spec["replicas"]),
			columns.Integer("Current", status["replicas"]),
			columns.Integer("Ready", status["readyReplicas"]),
			columns.Age(),
		}, append(columns.ContainerColumns(), columns.Wide(columns.String("Selector", spec["selector"])))...),
		Cells: func(rc *corev1.ReplicationController, now time.Time) []any {
			var names, images string
			if rc.Spec.Template != nil {
				names, images = columns.Containers(rc.Spec.Template.Spec.Containers)
			}
			return []any{
				rc.Name, int64(ptr.Deref(rc.Spec.Replicas, 0)), int64(rc.Status.Replicas), int64(rc.Status.ReadyReplicas),
				columns.Since(rc.CreationTimestamp, now), names, images, columns.Labels(rc.Spec.Selector),
			}
		},
	}.Define()
}

func defaultReplicationController(rc *corev1.ReplicationController) {
	if t := rc.Spec.Template; t != nil {
		DefaultPodSpec(&t.Spec)
		if len(t.Labels) > 0 {
			if len(rc.Spec.Selector) == 0 {
				rc.Spec.Selector = maps.Clone(t.Labels)
			}
			if len(rc.Labels) == 0 {
				rc.Labels = maps.Clone(t.Labels)
			}
		}
	}
	setPointer(&rc.Spec.Replicas, 1)
}

func validateReplicationController(rc, old *corev1.ReplicationController) field.ErrorList {
	s, at := &rc.Spec, specPath
	errs := check.NonNegative(int64(s.MinReadySeconds), at.Child("minReadySeconds"))
	selector := labels.Set(s.Selector).AsSelector()
	if selector.Empty() {
		errs = append(errs, field.Required(at.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(at.Child("replicas"), ""))
	} else {
		errs = append(errs, check.NonNegative(int64(*s.Replicas), at.Child("replicas"))...)
	}
	template := at.Child("template")
	if s.Template == nil {
		return append(errs, field.Required(template, ""))
	}
	if !selector.Empty() && !selector.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(template.Child("metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	var was *corev1.PodTemplateSpec
	if old != nil {
		was = old.Spec.Template
	}
	errs = append(errs, ValidatePodTemplateSpec(s.Template, template, TemplateOptions(was))...)
	if p := s.Template.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(template.Child("spec", "restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if s.Template.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(template.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicationController is not Supported"))
	}
	return errs
}

func validateReplicationControllerStatus(s *corev1.ReplicationControllerStatus) field.ErrorList {
	at := field.NewPath("status")
	var errs field.ErrorList
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"replicas", int64(s.Replicas)},
		{"fullyLabeledReplicas", int64(s.FullyLabeledReplicas)},
		{"readyReplicas", int64(s.ReadyReplicas)},
		{"availableReplicas", int64(s.AvailableReplicas)},
		{"observedGeneration", s.ObservedGeneration},
	} {
		errs = append(errs, check.NonNegative(f.value, at.Child(f.name))...)
	}
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"fullyLabeledReplicas", s.FullyLabeledReplicas},
		{"readyReplicas", s.ReadyReplicas},
		{"availableReplicas", s.AvailableReplicas},
	} {
		if f.value > s.Replicas {
			errs = append(errs, field.Invalid(at.Child(f.name), f.value, "cannot be greater than status.replicas"))
		}
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(at.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}

func replicationControllerWarnings(rc, old *corev1.ReplicationController) []string {
	var w []string
	var was *corev1.PodTemplateSpec
	if old != nil {
		was = old.Spec.Template
		if old.Generation == rc.Generation {
			return nil
		}
	} else {
		w = check.HostnameWarnings(rc.Name)
	}
	if rc.Spec.Template != nil {
		w = append(w, PodTemplateWarnings(rc.Spec.Template, was, specPath.Child("template"))...)
	}
	return w
}
