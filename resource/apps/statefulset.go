package apps

import (
	"fmt"
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
	"proa/resource/columns"
	"proa/resource/core"
)

// StatefulSet is the row of stateful sets.
func StatefulSet() *resource.Definition {
	return resource.Row[*appsv1.StatefulSet]{
		Storage:    appsv1.SchemeGroupVersion,
		Kind:       "StatefulSet",
		Plural:     "statefulsets",
		ShortNames: []string{"sts"},
		Categories: []string{"all"},
		New:        func() *appsv1.StatefulSet { return new(appsv1.StatefulSet) },
		NewList:    func() runtime.Object { return new(appsv1.StatefulSetList) },
		// A label, not a subdomain: pods are named after the set, and their
		// host names are single labels.
		ValidateName: apivalidation.NameIsDNSLabel,
		Default:      defaultStatefulSet,
		PrepareCreate: func(_ *resource.Request, s *appsv1.StatefulSet) {
			s.Status = appsv1.StatefulSetStatus{}
			core.DropDisabledTemplateFields(&s.Spec.Template, nil)
			dropMaxUnavailable(&s.Spec, nil)
		},
		PrepareUpdate: func(_ *resource.Request, s, old *appsv1.StatefulSet) {
			s.Status = *old.Status.DeepCopy()
			core.DropDisabledTemplateFields(&s.Spec.Template, &old.Spec.Template)
			dropMaxUnavailable(&s.Spec, &old.Spec)
		},
		Validate:       func(s *appsv1.StatefulSet) field.ErrorList { return validateStatefulSetSpec(&s.Spec, lenience{}) },
		ValidateUpdate: validateStatefulSetUpdate,
		Warnings: func(s, old *appsv1.StatefulSet) []string {
			var was *corev1.PodTemplateSpec
			if old != nil {
				if s.Generation == old.Generation {
					return nil
				}
				was = &old.Spec.Template
			}
			out := core.PodTemplateWarnings(&s.Spec.Template, was, field.NewPath("spec", "template"))
			if n := s.Spec.RevisionHistoryLimit; n != nil && *n < 0 {
				out = append(out, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
			}
			return out
		},
		Spec: func(s *appsv1.StatefulSet) any { return &s.Spec },
		Updates: map[string]resource.Update[*appsv1.StatefulSet]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, s, old *appsv1.StatefulSet) {
					s.Spec = *old.Spec.DeepCopy()
				},
				ValidateUpdate: validateStatefulSetStatus,
			},
		},
		Scale: &resource.Scale[*appsv1.StatefulSet]{
			Get: func(s *appsv1.StatefulSet) *autoscalingv1.Scale {
				return autoscaling.NewScale(s, ptr.Deref(s.Spec.Replicas, 0), s.Status.Replicas, autoscaling.SelectorQuery(s.Spec.Selector))
			},
			Set:          func(s *appsv1.StatefulSet, n int32) { s.Spec.Replicas = &n },
			ReplicasPath: []string{"spec", "replicas"},
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Ready", "Number of the pod with ready state"),
			columns.Age(),
		}, columns.ContainerColumns()...),
		Cells: func(s *appsv1.StatefulSet, now time.Time) []any {
			names, images := columns.Containers(s.Spec.Template.Spec.Containers)
			return []any{
				s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, ptr.Deref(s.Spec.Replicas, 0)),
				columns.Since(s.CreationTimestamp, now), names, images,
			}
		},
	}.Define()
}

// dropMaxUnavailable: updating several pods at once is off by default in this
// release. A set that does it already goes on; old is nil at creation.
func dropMaxUnavailable(s, old *appsv1.StatefulSetSpec) {
	if old != nil && old.UpdateStrategy.RollingUpdate != nil && old.UpdateStrategy.RollingUpdate.MaxUnavailable != nil {
		return
	}
	if r := s.UpdateStrategy.RollingUpdate; r != nil {
		r.MaxUnavailable = nil
	}
}

func defaultStatefulSet(o *appsv1.StatefulSet) {
	s := &o.Spec
	if s.PodManagementPolicy == "" {
		s.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	u := &s.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		if u.RollingUpdate.Partition == nil {
			u.RollingUpdate.Partition = new(int32(0))
		}
	}
	if s.PersistentVolumeClaimRetentionPolicy == nil {
		s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p.WhenDeleted == "" {
		p.WhenDeleted = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p.WhenScaled == "" {
		p.WhenScaled = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if s.Replicas == nil {
		s.Replicas = new(int32(1))
	}
	if s.RevisionHistoryLimit == nil {
		s.RevisionHistoryLimit = new(int32(10))
	}
	core.DefaultPodSpec(&s.Template.Spec)
	for i := range s.VolumeClaimTemplates {
		c := &s.VolumeClaimTemplates[i]
		// Clients compare claim templates as whole objects, so they say what
		// they are.
		c.APIVersion, c.Kind = "v1", "PersistentVolumeClaim"
		core.DefaultPersistentVolumeClaim(c)
	}
}
