package batch

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	s, was, at := &j.Spec, &old.Spec, field.NewPath("spec")
	_, prefixed := was.Template.Labels[batchv1.ControllerUidLabel]
	errs := validateGenerated(j, prefixed)
	errs = append(errs, validateHostname(j)...)
	errs = append(errs, validateJobSpec(s, &was.Template, metavalidation.LabelSelectorHasInvalidLabelValue(was.Selector), at)...)
	errs = append(errs, validateCompletionsUpdate(s, was, at.Child("completions"))...)
	errs = append(errs, check.Unchanged(s.Selector, was.Selector, at.Child("selector"))...)
	errs = append(errs, validateTemplateUpdate(j, old, at.Child("template"))...)
	errs = append(errs, check.Unchanged(s.CompletionMode, was.CompletionMode, at.Child("completionMode"))...)
	errs = append(errs, unchanged(s.PodFailurePolicy, was.PodFailurePolicy, at.Child("podFailurePolicy"))...)
	errs = append(errs, check.Unchanged(s.BackoffLimitPerIndex, was.BackoffLimitPerIndex, at.Child("backoffLimitPerIndex"))...)
	errs = append(errs, check.Unchanged(s.ManagedBy, was.ManagedBy, at.Child("managedBy"))...)
	return append(errs, unchanged(s.SuccessPolicy, was.SuccessPolicy, at.Child("successPolicy"))...)
}

// unchanged is [check.Unchanged] for a policy, shown in its Go form.
func unchanged[T any](policy, was *T, at *field.Path) field.ErrorList {
	if check.Equal(policy, was) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, check.GoForm{Value: policy}, check.Immutable)}
}

// validateCompletionsUpdate: an indexed job grows and shrinks only together
// with its parallelism.
func validateCompletionsUpdate(s, was *batchv1.JobSpec, at *field.Path) field.ErrorList {
	if ptr.Deref(s.CompletionMode, "") != batchv1.IndexedCompletion {
		return check.Unchanged(s.Completions, was.Completions, at)
	}
	if ptr.Equal(s.Completions, was.Completions) {
		return nil
	}
	if s.Completions == nil || was.Completions == nil || s.Parallelism == nil || *s.Completions != *s.Parallelism {
		return field.ErrorList{field.Invalid(at, s.Completions, "can only be modified in tandem with spec.parallelism")}
	}
	return nil
}

// validateTemplateUpdate: pods of one job are alike, so the template changes
// only while there are none. Of a suspended job, a queueing system may then
// say where the pods run and what they get.
func validateTemplateUpdate(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	was := &old.Spec.Template
	if idle := isIdle(old); idle || ptr.Deref(old.Spec.Suspend, false) && old.Status.StartTime == nil {
		was = was.DeepCopy()
		allowPlacement(was, &j.Spec.Template)
		if idle {
			allowResources(was.Spec.Containers, j.Spec.Template.Spec.Containers)
			allowResources(was.Spec.InitContainers, j.Spec.Template.Spec.InitContainers)
		}
	}
	return check.Unchanged(&j.Spec.Template, was, at)
}

// isIdle: the controller has seen that the job is suspended, and no pod of it
// is left.
func isIdle(j *batchv1.Job) bool {
	return ptr.Deref(j.Spec.Suspend, false) && j.Status.Active == 0 &&
		(j.Status.StartTime == nil || hasCondition(&j.Status, batchv1.JobSuspended))
}

// allowPlacement copies what decides where pods run from the new template into
// a copy of the old one, so that it does not count as a change.
func allowPlacement(was, t *corev1.PodTemplateSpec) {
	switch a, b := t.Spec.Affinity, was.Spec.Affinity; {
	case a == nil && b != nil:
		if b.NodeAffinity = nil; *b == (corev1.Affinity{}) {
			was.Spec.Affinity = nil
		}
	case a != nil && b == nil:
		was.Spec.Affinity = &corev1.Affinity{NodeAffinity: a.NodeAffinity}
	case a != nil && b != nil:
		b.NodeAffinity = a.NodeAffinity
	}
	was.Spec.NodeSelector, was.Spec.Tolerations = t.Spec.NodeSelector, t.Spec.Tolerations
	was.Spec.SchedulingGates = t.Spec.SchedulingGates
	was.Annotations, was.Labels = t.Annotations, t.Labels
}

func allowResources(was, is []corev1.Container) {
	for i := range min(len(was), len(is)) {
		if was[i].Name == is[i].Name {
			was[i].Resources = is[i].Resources
		}
	}
}
