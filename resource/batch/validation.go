package batch

import (
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
	"proa/resource/core"
)

// Limits of indexed jobs. What is known of each index has to fit into one
// object, so a job with many completions may do less at once.
const (
	maxParallelism    = 100_000
	maxFailedIndexes  = 100_000
	manyCompletions   = 100_000
	parallelismOfMany = 10_000
	failedOfMany      = 10_000
	maxManagedBy      = 63
)

func validateJob(j *batchv1.Job) field.ErrorList {
	errs := validateGenerated(j, true)
	errs = append(errs, validateJobSpec(&j.Spec, nil, false, field.NewPath("spec"))...)
	return append(errs, validateHostname(j)...)
}

// validateHostname: the pods of an indexed job are called after the job and
// their index.
func validateHostname(j *batchv1.Job) field.ErrorList {
	n := ptr.Deref(j.Spec.Completions, 0)
	if ptr.Deref(j.Spec.CompletionMode, "") != batchv1.IndexedCompletion || n <= 0 {
		return nil
	}
	if host := fmt.Sprintf("%s-%d", j.Name, n-1); len(validation.IsDNS1123Label(host)) > 0 {
		return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), j.Name,
			"will not able to create pod with invalid DNS label: "+host)}
	}
	return nil
}

// validateGenerated checks that the labels and the selector are those that the
// server makes, so that no job ever adopts the pods of another. A stored job
// may lack the prefixed labels.
func validateGenerated(j *batchv1.Job, prefixed bool) field.ErrorList {
	if ptr.Deref(j.Spec.ManualSelector, false) || j.Spec.Selector == nil {
		return nil
	}
	var errs field.ErrorList
	if j.UID == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "uid"), ""))
	}
	want := generatedLabels(j)
	if !prefixed {
		delete(want, batchv1.ControllerUidLabel)
		delete(want, batchv1.JobNameLabel)
	}
	at := field.NewPath("spec", "template", "metadata", "labels")
	for _, label := range slices.Sorted(maps.Keys(want)) {
		switch value, ok := j.Spec.Template.Labels[label]; {
		case !ok:
			errs = append(errs, field.Required(at.Key(label), fmt.Sprintf("must be '%s'", want[label])))
		case value != want[label]:
			errs = append(errs, field.Invalid(at.Key(label), j.Spec.Template.Labels, fmt.Sprintf("must be '%s'", want[label])))
		}
	}
	if s, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !s.Matches(labels.Set(want)) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

// validateJobSpec checks the spec of a job that has its selector; lax lets it
// have label values that were accepted once. old is the stored template, nil at
// creation.
func validateJobSpec(s *batchv1.JobSpec, old *corev1.PodTemplateSpec, lax bool, at *field.Path) field.ErrorList {
	errs := validateWork(s, old, at)
	if s.Selector == nil {
		errs = append(errs, field.Required(at.Child("selector"), ""))
	} else {
		errs = append(errs, metavalidation.ValidateLabelSelector(s.Selector,
			metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: lax}, at.Child("selector"))...)
	}
	if sel, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("template", "metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

// validateTemplate checks the job that a cron job makes. Its selector is made
// with each job.
func validateTemplate(s *batchv1.JobSpec, old *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	errs := validateWork(s, old, at)
	if s.Selector != nil {
		errs = append(errs, field.Invalid(at.Child("selector"), s.Selector, "`selector` will be auto-generated"))
	}
	if ptr.Deref(s.ManualSelector, false) {
		errs = append(errs, field.NotSupported(at.Child("manualSelector"), s.ManualSelector, []string{"nil", "false"}))
	}
	return errs
}

// validateWork checks all of a spec but its selector.
func validateWork(s *batchv1.JobSpec, old *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	nonNegative := func(name string, n *int32) {
		if n != nil {
			errs = append(errs, check.NonNegative(int64(*n), at.Child(name))...)
		}
	}
	nonNegative("parallelism", s.Parallelism)
	nonNegative("completions", s.Completions)
	if n := s.ActiveDeadlineSeconds; n != nil {
		errs = append(errs, check.NonNegative(*n, at.Child("activeDeadlineSeconds"))...)
	}
	nonNegative("backoffLimit", s.BackoffLimit)
	nonNegative("ttlSecondsAfterFinished", s.TTLSecondsAfterFinished)
	nonNegative("backoffLimitPerIndex", s.BackoffLimitPerIndex)
	if s.MaxFailedIndexes != nil {
		nonNegative("maxFailedIndexes", s.MaxFailedIndexes)
		if s.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Required(at.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
		}
	}
	if m := s.ManagedBy; m != nil {
		errs = append(errs, validation.IsDomainPrefixedPath(at.Child("managedBy"), *m)...)
		if len(*m) > maxManagedBy {
			errs = append(errs, field.TooLong(at.Child("managedBy"), *m, maxManagedBy))
		}
	}
	errs = append(errs, validateCompletionMode(s, at)...)
	if s.PodFailurePolicy != nil {
		errs = append(errs, validateFailurePolicy(s, at.Child("podFailurePolicy"))...)
	}
	if s.SuccessPolicy != nil {
		if ptr.Deref(s.CompletionMode, "") != batchv1.IndexedCompletion {
			errs = append(errs, field.Invalid(at.Child("successPolicy"), check.GoForm{Value: s.SuccessPolicy}, "requires indexed completion mode"))
		} else {
			errs = append(errs, validateSuccessPolicy(s, at.Child("successPolicy"))...)
		}
	}
	if p := s.PodReplacementPolicy; p != nil {
		allowed := []batchv1.PodReplacementPolicy{batchv1.Failed, batchv1.TerminatingOrFailed}
		if s.PodFailurePolicy != nil {
			// Whether a pod has failed is known only once it has ended.
			allowed = allowed[:1]
		}
		errs = append(errs, check.OneOf(*p, allowed, at.Child("podReplacementPolicy"))...)
	}
	errs = append(errs, core.ValidatePodTemplateSpec(&s.Template, at.Child("template"), core.TemplateOptions(old))...)
	restart := at.Child("template", "spec", "restartPolicy")
	switch p := s.Template.Spec.RestartPolicy; {
	case p == corev1.RestartPolicyAlways || p == "":
		errs = append(errs, field.Required(restart, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)))
	case p != corev1.RestartPolicyOnFailure && p != corev1.RestartPolicyNever:
		errs = append(errs, field.NotSupported(restart, p, []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}))
	case s.PodFailurePolicy != nil && p != corev1.RestartPolicyNever:
		errs = append(errs, field.Invalid(restart, p, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever)))
	}
	return errs
}

func validateCompletionMode(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	mode := ptr.Deref(s.CompletionMode, batchv1.NonIndexedCompletion)
	if mode != batchv1.NonIndexedCompletion && mode != batchv1.IndexedCompletion {
		errs = append(errs, field.NotSupported(at.Child("completionMode"), mode,
			[]batchv1.CompletionMode{batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}))
	}
	if mode == batchv1.IndexedCompletion {
		return append(errs, validateIndexed(s, at)...)
	}
	if mode == batchv1.NonIndexedCompletion {
		if n := s.BackoffLimitPerIndex; n != nil {
			errs = append(errs, field.Invalid(at.Child("backoffLimitPerIndex"), *n, "requires indexed completion mode"))
		}
		if n := s.MaxFailedIndexes; n != nil {
			errs = append(errs, field.Invalid(at.Child("maxFailedIndexes"), *n, "requires indexed completion mode"))
		}
	}
	return errs
}

func validateIndexed(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Completions == nil {
		errs = append(errs, field.Required(at.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
	}
	if n := s.Parallelism; n != nil && *n > maxParallelism {
		errs = append(errs, field.Invalid(at.Child("parallelism"), *n,
			fmt.Sprintf("must be less than or equal to %d when completion mode is %s", maxParallelism, batchv1.IndexedCompletion)))
	}
	if n := s.MaxFailedIndexes; n != nil {
		if s.Completions != nil && *n > *s.Completions {
			errs = append(errs, field.Invalid(at.Child("maxFailedIndexes"), *n, "must be less than or equal to completions"))
		}
		if *n > maxFailedIndexes {
			errs = append(errs, field.Invalid(at.Child("maxFailedIndexes"), *n, fmt.Sprintf("must be less than or equal to %d", maxFailedIndexes)))
		}
	}
	if ptr.Deref(s.Completions, 0) > manyCompletions && s.BackoffLimitPerIndex != nil {
		n := s.MaxFailedIndexes
		if n == nil {
			errs = append(errs, field.Required(at.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", manyCompletions)))
		}
		const limit = "must be less than or equal to %d when completions are above %d and used with backoff limit per index"
		if p := s.Parallelism; p != nil && *p > parallelismOfMany {
			errs = append(errs, field.Invalid(at.Child("parallelism"), *p, fmt.Sprintf(limit, parallelismOfMany, manyCompletions)))
		}
		if n != nil && *n > failedOfMany {
			errs = append(errs, field.Invalid(at.Child("maxFailedIndexes"), *n, fmt.Sprintf(limit, failedOfMany, manyCompletions)))
		}
	}
	return errs
}
