package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
	"proa/resource/core"
)

// lenience is what an update does not check, because the stored set may have
// been accepted when it was not checked yet.
type lenience struct {
	serviceName    bool
	template       bool
	claimTemplates bool
	// old is the stored template, nil at creation.
	old *corev1.PodTemplateSpec
}

func validateStatefulSetSpec(s *appsv1.StatefulSetSpec, skip lenience) field.ErrorList {
	at := field.NewPath("spec")
	errs := validateOrdering(s, at)
	if p := s.PersistentVolumeClaimRetentionPolicy; p != nil {
		policies := []appsv1.PersistentVolumeClaimRetentionPolicyType{
			appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
		}
		at := at.Child("persistentVolumeClaimRetentionPolicy")
		errs = append(errs, check.OneOf(p.WhenDeleted, policies, at.Child("whenDeleted"))...)
		errs = append(errs, check.OneOf(p.WhenScaled, policies, at.Child("whenScaled"))...)
	}
	if !skip.claimTemplates {
		for i := range s.VolumeClaimTemplates {
			errs = append(errs, core.ValidatePersistentVolumeClaimSpec(&s.VolumeClaimTemplates[i].Spec, nil,
				at.Child("volumeClaimTemplates").Index(i).Child("spec"))...)
		}
	}
	errs = append(errs, check.NonNegative(int64(ptr.Deref(s.Replicas, 0)), at.Child("replicas"))...)
	errs = append(errs, check.NonNegative(int64(s.MinReadySeconds), at.Child("minReadySeconds"))...)
	if s.Ordinals != nil {
		errs = append(errs, check.NonNegative(int64(s.Ordinals.Start), at.Child("ordinals.start"))...)
	}
	if s.ServiceName != "" && !skip.serviceName {
		errs = append(errs, check.Label(s.ServiceName, at.Child("serviceName"))...)
	}
	errs = append(errs, validateSelector(s.Selector, "statefulset", at.Child("selector"))...)
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err != nil {
		errs = append(errs, field.Invalid(at.Child("selector"), s.Selector, ""))
	} else {
		errs = append(errs, validateSelects(selector, &s.Template, at.Child("template"))...)
		if !skip.template {
			t := asPods(s)
			errs = append(errs, core.ValidatePodTemplateSpec(t, at.Child("template"), core.TemplateOptions(skip.old))...)
		}
	}
	return append(errs, validateRunsForever(&s.Template.Spec, "StatefulSet", at.Child("template", "spec"))...)
}

// validateOrdering checks in what order pods come, go and change.
func validateOrdering(s *appsv1.StatefulSetSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch s.PodManagementPolicy {
	case "":
		errs = append(errs, field.Required(at.Child("podManagementPolicy"), ""))
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		errs = append(errs, field.Invalid(at.Child("podManagementPolicy"), s.PodManagementPolicy,
			fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)))
	}
	u, at := &s.UpdateStrategy, at.Child("updateStrategy")
	switch u.Type {
	case "":
		errs = append(errs, field.Required(at, ""))
	case appsv1.OnDeleteStatefulSetStrategyType:
		if u.RollingUpdate != nil {
			errs = append(errs, field.Invalid(at.Child("rollingUpdate"), shownRollout(u.RollingUpdate),
				fmt.Sprintf("only allowed for updateStrategy '%s'", appsv1.RollingUpdateStatefulSetStrategyType)))
		}
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if r := u.RollingUpdate; r != nil {
			at := at.Child("rollingUpdate")
			errs = append(errs, check.NonNegative(int64(ptr.Deref(r.Partition, 0)), at.Child("partition"))...)
			if m := r.MaxUnavailable; m != nil {
				at := at.Child("maxUnavailable")
				errs = append(errs, check.CountOrPercent(m, at)...)
				if check.Amount(m) == 0 {
					errs = append(errs, field.Invalid(at, m, "cannot be 0"))
				}
				errs = append(errs, check.AtMost100Percent(m, at)...)
			}
		}
	default:
		errs = append(errs, field.Invalid(at, check.GoForm{Value: u},
			fmt.Sprintf("must be '%s' or '%s'", appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType)))
	}
	return errs
}

// shownRollout is how errors show a rolling update: no partition is 0.
func shownRollout(r *appsv1.RollingUpdateStatefulSetStrategy) check.GoForm {
	shown := *r
	shown.Partition = new(ptr.Deref(r.Partition, 0))
	return check.GoForm{Value: shown}
}

// asPods is the template as the pods will have it: each claim template becomes a
// volume of its name, before the others, and the names of hosts are the set's.
func asPods(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	t := s.Template
	t.Spec.Hostname, t.Spec.Subdomain = "", ""
	if len(s.VolumeClaimTemplates) == 0 {
		return &t
	}
	claims := map[string]bool{}
	t.Spec.Volumes = nil
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		if claims[name] {
			continue
		}
		claims[name] = true
		t.Spec.Volumes = append(t.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	for _, v := range s.Template.Spec.Volumes {
		if !claims[v.Name] {
			t.Spec.Volumes = append(t.Spec.Volumes, v)
		}
	}
	return &t
}

func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	skip := lenience{serviceName: true, claimTemplates: true, old: &old.Spec.Template}
	skip.template = len(validateStatefulSetSpec(&old.Spec, skip)) > 0
	errs := validateStatefulSetSpec(&s.Spec, skip)

	// What may change is taken from the old set; the rest must then be equal.
	rest := s.Spec
	rest.Replicas, rest.Ordinals = old.Spec.Replicas, old.Spec.Ordinals
	rest.Template, rest.UpdateStrategy = old.Spec.Template, old.Spec.UpdateStrategy
	rest.MinReadySeconds, rest.RevisionHistoryLimit = old.Spec.MinReadySeconds, old.Spec.RevisionHistoryLimit
	rest.PersistentVolumeClaimRetentionPolicy = old.Spec.PersistentVolumeClaimRetentionPolicy
	if !check.Equal(&rest, &old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), "updates to statefulset spec for fields other than "+
			"'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "+
			"'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"))
	}
	return errs
}

func validateStatefulSetStatus(o, old *appsv1.StatefulSet) field.ErrorList {
	s, at := &o.Status, field.NewPath("status")
	errs := validateCounts(at,
		count{"replicas", int64(s.Replicas)},
		count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"currentReplicas", int64(s.CurrentReplicas)},
		count{"updatedReplicas", int64(s.UpdatedReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)},
		count{"observedGeneration", s.ObservedGeneration})
	errs = append(errs, validateOptionalCount(at, "collisionCount", s.CollisionCount)...)
	errs = append(errs, validateNoMore(at, int64(s.Replicas), "cannot be greater than status.replicas",
		count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"currentReplicas", int64(s.CurrentReplicas)},
		count{"updatedReplicas", int64(s.UpdatedReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	errs = append(errs, validateNoMore(at, int64(s.ReadyReplicas), "cannot be greater than status.readyReplicas",
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	return append(errs, validateNotDecremented(s.CollisionCount, old.Status.CollisionCount, at.Child("collisionCount"))...)
}
