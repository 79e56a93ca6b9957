package apps

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// DaemonSet is the row of daemon sets.
func DaemonSet() *resource.Definition {
	status := appsv1.DaemonSetStatus{}.SwaggerDoc()
	return resource.Row[*appsv1.DaemonSet]{
		Storage:      appsv1.SchemeGroupVersion,
		Kind:         "DaemonSet",
		Plural:       "daemonsets",
		ShortNames:   []string{"ds"},
		Categories:   []string{"all"},
		New:          func() *appsv1.DaemonSet { return new(appsv1.DaemonSet) },
		NewList:      func() runtime.Object { return new(appsv1.DaemonSetList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultDaemonSet,
		PrepareCreate: func(_ *resource.Request, d *appsv1.DaemonSet) {
			d.Status = appsv1.DaemonSetStatus{}
			setTemplateGeneration(d, max(templateGeneration(d), 1))
			core.DropDisabledTemplateFields(&d.Spec.Template, nil)
		},
		PrepareUpdate: func(_ *resource.Request, d, old *appsv1.DaemonSet) {
			d.Status = *old.Status.DeepCopy()
			core.DropDisabledTemplateFields(&d.Spec.Template, &old.Spec.Template)
			g := templateGeneration(old)
			if !check.Equal(&d.Spec.Template, &old.Spec.Template) {
				g++
			}
			setTemplateGeneration(d, g)
		},
		Validate: func(d *appsv1.DaemonSet) field.ErrorList { return validateDaemonSet(d, nil) },
		ValidateUpdate: func(d, old *appsv1.DaemonSet) field.ErrorList {
			return append(validateDaemonSet(d, old),
				check.Unchanged(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
		},
		Warnings: func(d, old *appsv1.DaemonSet) []string {
			at := field.NewPath("spec", "template")
			if old == nil {
				return core.PodTemplateWarnings(&d.Spec.Template, nil, at)
			}
			if d.Generation == old.Generation {
				return nil
			}
			return core.PodTemplateWarnings(&d.Spec.Template, &old.Spec.Template, at)
		},
		Spec: func(d *appsv1.DaemonSet) any { return &d.Spec },
		Updates: map[string]resource.Update[*appsv1.DaemonSet]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, d, old *appsv1.DaemonSet) {
					d.Spec = *old.Spec.DeepCopy()
					// It stands for a field of the spec.
					setTemplateGeneration(d, templateGeneration(old))
				},
				ValidateUpdate: validateDaemonSetStatus,
			},
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Desired", status["desiredNumberScheduled"]),
			columns.Integer("Current", status["currentNumberScheduled"]),
			columns.Integer("Ready", status["numberReady"]),
			columns.Integer("Up-to-date", status["updatedNumberScheduled"]),
			columns.Integer("Available", status["numberAvailable"]),
			columns.String("Node Selector", corev1.PodSpec{}.SwaggerDoc()["nodeSelector"]),
			columns.Age(),
		}, append(columns.ContainerColumns(), columns.Wide(columns.String("Selector", appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"])))...),
		Cells: func(d *appsv1.DaemonSet, now time.Time) []any {
			names, images := columns.Containers(d.Spec.Template.Spec.Containers)
			return []any{
				d.Name, int64(d.Status.DesiredNumberScheduled), int64(d.Status.CurrentNumberScheduled), int64(d.Status.NumberReady),
				int64(d.Status.UpdatedNumberScheduled), int64(d.Status.NumberAvailable),
				columns.Labels(d.Spec.Template.Spec.NodeSelector), columns.Since(d.CreationTimestamp, now),
				names, images, columns.Selector(d.Spec.Selector),
			}
		},
	}.Define()
}

// templateGeneration counts the changes of the template. Earlier versions of
// the API had a field for it, in whose place v1 keeps an annotation.
func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func setTemplateGeneration(d *appsv1.DaemonSet, n int64) {
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[appsv1.DeprecatedTemplateGeneration] = strconv.FormatInt(n, 10)
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	setTemplateGeneration(d, templateGeneration(d))
	u := &d.Spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if u.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		if u.RollingUpdate.MaxUnavailable == nil {
			u.RollingUpdate.MaxUnavailable = new(intstr.FromInt32(1))
		}
		if u.RollingUpdate.MaxSurge == nil {
			u.RollingUpdate.MaxSurge = new(intstr.FromInt32(0))
		}
	}
	if d.Spec.RevisionHistoryLimit == nil {
		d.Spec.RevisionHistoryLimit = new(int32(10))
	}
	core.DefaultPodSpec(&d.Spec.Template.Spec)
}

// validateDaemonSet checks a daemon set; old is nil at creation. A missing
// selector selects nothing, so that it shows as one that does not match.
func validateDaemonSet(d, old *appsv1.DaemonSet) field.ErrorList {
	s, at := &d.Spec, field.NewPath("spec")
	template := at.Child("template")
	var oldTemplate *corev1.PodTemplateSpec
	lax := false
	if old != nil {
		oldTemplate = &old.Spec.Template
		lax = metavalidation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector)
	}
	errs := metavalidation.ValidateLabelSelector(s.Selector,
		metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: lax}, at.Child("selector"))
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !selector.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(template.Child("metadata", "labels"), s.Template.Labels, mismatch))
	}
	if s.Selector != nil && len(s.Selector.MatchLabels)+len(s.Selector.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at.Child("selector"), s.Selector, "empty selector is invalid for daemonset"))
	}
	errs = append(errs, core.ValidatePodTemplateSpec(&s.Template, template, core.TemplateOptions(oldTemplate))...)
	errs = append(errs, validateRunsForever(&s.Template.Spec, "DaemonSet", template.Child("spec"))...)
	errs = append(errs, check.NonNegative(int64(s.MinReadySeconds), at.Child("minReadySeconds"))...)
	errs = append(errs, check.NonNegative(templateGeneration(d), at.Child("templateGeneration"))...)
	errs = append(errs, validateDaemonSetStrategy(&s.UpdateStrategy, at.Child("updateStrategy"))...)
	if n := s.RevisionHistoryLimit; n != nil {
		errs = append(errs, check.NonNegative(int64(*n), at.Child("revisionHistoryLimit"))...)
	}
	return errs
}

// validateDaemonSetStrategy: on each node either the old pod goes first or the
// new one comes first, so exactly one of the two limits is not zero.
func validateDaemonSetStrategy(u *appsv1.DaemonSetUpdateStrategy, at *field.Path) field.ErrorList {
	switch u.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
	default:
		return field.ErrorList{field.NotSupported(at, check.GoForm{Value: u}, []string{
			string(appsv1.RollingUpdateDaemonSetStrategyType), string(appsv1.OnDeleteDaemonSetStrategyType),
		})}
	}
	r, at := u.RollingUpdate, at.Child("rollingUpdate")
	if r == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	unavailable, surge := at.Child("maxUnavailable"), at.Child("maxSurge")
	errs := check.CountOrPercent(r.MaxUnavailable, unavailable)
	errs = append(errs, check.CountOrPercent(r.MaxSurge, surge)...)
	errs = append(errs, check.AtMost100Percent(r.MaxUnavailable, unavailable)...)
	errs = append(errs, check.AtMost100Percent(r.MaxSurge, surge)...)
	switch goes, comes := check.Amount(r.MaxUnavailable) != 0, check.Amount(r.MaxSurge) != 0; {
	case goes && comes:
		errs = append(errs, field.Invalid(surge, r.MaxSurge, "may not be set when maxUnavailable is non-zero"))
	case !goes && !comes:
		errs = append(errs, field.Required(unavailable, "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	s, at := &d.Status, field.NewPath("status")
	errs := validateCounts(at,
		count{"currentNumberScheduled", int64(s.CurrentNumberScheduled)},
		count{"numberMisscheduled", int64(s.NumberMisscheduled)},
		count{"desiredNumberScheduled", int64(s.DesiredNumberScheduled)},
		count{"numberReady", int64(s.NumberReady)},
		count{"observedGeneration", s.ObservedGeneration},
		count{"updatedNumberScheduled", int64(s.UpdatedNumberScheduled)},
		count{"numberAvailable", int64(s.NumberAvailable)},
		count{"numberUnavailable", int64(s.NumberUnavailable)})
	errs = append(errs, validateOptionalCount(at, "collisionCount", s.CollisionCount)...)
	return append(errs, validateNotDecremented(s.CollisionCount, old.Status.CollisionCount, at.Child("collisionCount"))...)
}
