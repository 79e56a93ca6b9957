package batch

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

// validateJobStatus checks what a controller reports. A rule is applied only
// where the update touches what the rule is about, so that a stored status
// that breaks it can still be written to.
func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	at := field.NewPath("status")
	errs := validateCounters(&j.Status, at)
	errs = append(errs, validateConditions(j, old, at)...)
	errs = append(errs, validateTimes(j, old, at)...)
	errs = append(errs, validateAnnounced(j, old, at)...)
	errs = append(errs, validateFinished(j, old, at)...)
	errs = append(errs, validateStatusIndexes(j, old, at)...)
	errs = append(errs, validateLeft(j, old, at)...)
	errs = append(errs, validateCriteria(j, at)...)
	return append(errs, validateProgress(j, old, at)...)
}

func validateCounters(s *batchv1.JobStatus, at *field.Path) field.ErrorList {
	errs := check.NonNegative(int64(s.Active), at.Child("active"))
	errs = append(errs, check.NonNegative(int64(s.Succeeded), at.Child("succeeded"))...)
	errs = append(errs, check.NonNegative(int64(s.Failed), at.Child("failed"))...)
	if s.Ready != nil {
		errs = append(errs, check.NonNegative(int64(*s.Ready), at.Child("ready"))...)
	}
	if s.Terminating != nil {
		errs = append(errs, check.NonNegative(int64(*s.Terminating), at.Child("terminating"))...)
	}
	if u := s.UncountedTerminatedPods; u != nil {
		seen := map[types.UID]bool{}
		for _, list := range []struct {
			name string
			uids []types.UID
		}{{"succeeded", u.Succeeded}, {"failed", u.Failed}} {
			for i, uid := range list.uids {
				at := at.Child("uncountedTerminatedPods", list.name).Index(i)
				switch {
				case uid == "":
					errs = append(errs, field.Invalid(at, uid, "must not be empty"))
				case seen[uid]:
					errs = append(errs, field.Duplicate(at, uid))
				}
				seen[uid] = true
			}
		}
	}
	return errs
}

// validateConditions: the terminal conditions exclude one another.
func validateConditions(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	is := func(t batchv1.JobConditionType) bool { return hasCondition(&j.Status, t) }
	comes := func(t batchv1.JobConditionType) bool { return is(t) && !hasCondition(&old.Status, t) }
	refuse := func(detail string) {
		errs = append(errs, field.Invalid(at.Child("conditions"), field.OmitValueType{}, detail))
	}
	if (comes(batchv1.JobComplete) || comes(batchv1.JobFailed)) && is(batchv1.JobComplete) && is(batchv1.JobFailed) {
		refuse("cannot set Complete=True and Failed=true conditions")
	}
	if (comes(batchv1.JobComplete) || comes(batchv1.JobFailureTarget)) && is(batchv1.JobComplete) && is(batchv1.JobFailureTarget) {
		refuse("cannot set Complete=True and FailureTarget=true conditions")
	}
	return errs
}

// validateAnnounced: a terminal condition follows the one that announces it.
func validateAnnounced(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	is := func(t batchv1.JobConditionType) bool { return hasCondition(&j.Status, t) }
	comes := func(t batchv1.JobConditionType) bool { return is(t) && !hasCondition(&old.Status, t) }
	refuse := func(detail string) {
		errs = append(errs, field.Invalid(at.Child("conditions"), field.OmitValueType{}, detail))
	}
	if comes(batchv1.JobFailed) && !is(batchv1.JobFailureTarget) {
		refuse("cannot set Failed=True condition without the FailureTarget=true condition")
	}
	if comes(batchv1.JobComplete) && !is(batchv1.JobSuccessCriteriaMet) {
		refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	}
	return errs
}

// validateCriteria: that a job has met its criteria is as good as complete.
func validateCriteria(j *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	is := func(t batchv1.JobConditionType) bool { return hasCondition(&j.Status, t) }
	refuse := func(detail string) {
		errs = append(errs, field.Invalid(at.Child("conditions"), field.OmitValueType{}, detail))
	}
	met := is(batchv1.JobSuccessCriteriaMet)
	if met && is(batchv1.JobFailed) {
		refuse("cannot set SuccessCriteriaMet=True and Failed=true conditions")
	}
	if met && is(batchv1.JobFailureTarget) {
		refuse("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	}
	if j.Spec.SuccessPolicy != nil && !met && is(batchv1.JobComplete) {
		refuse("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
	}
	return errs
}

func validateTimes(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	complete := hasCondition(s, batchv1.JobComplete)
	touched := !check.Equal(s.CompletionTime, was.CompletionTime) || complete != hasCondition(was, batchv1.JobComplete)
	end := at.Child("completionTime")
	if touched && s.CompletionTime != nil && !complete {
		errs = append(errs, field.Invalid(end, s.CompletionTime, "cannot set completionTime when there is no Complete=True condition"))
	}
	if touched && s.CompletionTime == nil && complete {
		errs = append(errs, field.Required(end, "completionTime is required for Complete jobs"))
	}
	startTouched := !check.Equal(s.StartTime, was.StartTime)
	if (touched || startTouched) && s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime) {
		errs = append(errs, field.Invalid(end, s.CompletionTime, "must be equal to or after `startTime`"))
	}
	return errs
}

// validateFinished: no pod of a finished job is left running or uncounted.
func validateFinished(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	now := finished(s)
	becomes := now && !finished(was)
	if (becomes || s.Active != was.Active) && now && s.Active > 0 {
		errs = append(errs, field.Invalid(at.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	if (becomes || !check.Equal(s.StartTime, was.StartTime)) && now && s.StartTime == nil {
		errs = append(errs, field.Required(at.Child("startTime"), "startTime is required for finished job"))
	}
	if u := s.UncountedTerminatedPods; (becomes || !check.Equal(u, was.UncountedTerminatedPods)) && now &&
		u != nil && len(u.Failed)+len(u.Succeeded) > 0 {
		errs = append(errs, field.Invalid(at.Child("uncountedTerminatedPods"), check.GoForm{Value: u}, "must be empty for finished job"))
	}
	return errs
}

// validateLeft: pods that are going or ready are pods still.
func validateLeft(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	if n := s.Terminating; (finished(s) != finished(was) || !ptr.Equal(n, was.Terminating)) && finished(s) && n != nil && *n > 0 {
		errs = append(errs, field.Invalid(at.Child("terminating"), *n, "terminating>0 is invalid for finished job"))
	}
	if n := s.Ready; (s.Active != was.Active || !ptr.Equal(n, was.Ready)) && n != nil && *n > s.Active {
		errs = append(errs, field.Invalid(at.Child("ready"), *n, "cannot set more ready pods than active"))
	}
	return errs
}

func finished(s *batchv1.JobStatus) bool {
	return hasCondition(s, batchv1.JobComplete) || hasCondition(s, batchv1.JobFailed)
}

func validateStatusIndexes(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	indexed := ptr.Deref(j.Spec.CompletionMode, "") == batchv1.IndexedCompletion
	completions := ptr.Deref(j.Spec.Completions, 0)
	completed, failed := s.CompletedIndexes, ptr.Deref(s.FailedIndexes, "")
	completedTouched, failedTouched := completed != was.CompletedIndexes, !ptr.Equal(s.FailedIndexes, was.FailedIndexes)
	if completedTouched && j.Spec.Completions != nil {
		if _, err := CountIndexes(completed, completions); err != nil {
			errs = append(errs, field.Invalid(at.Child("completedIndexes"), completed, fmt.Sprintf("error parsing completedIndexes: %s", err)))
		}
	}
	if failedTouched && s.FailedIndexes != nil && j.Spec.Completions != nil && j.Spec.BackoffLimitPerIndex != nil {
		if _, err := CountIndexes(failed, completions); err != nil {
			errs = append(errs, field.Invalid(at.Child("failedIndexes"), failed, fmt.Sprintf("error parsing failedIndexes: %s", err)))
		}
	}
	if completedTouched && completed != "" && !indexed {
		errs = append(errs, field.Invalid(at.Child("completedIndexes"), completed, "cannot set non-empty completedIndexes when non-indexed completion mode"))
	}
	if failedTouched && s.FailedIndexes != nil && j.Spec.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(at.Child("failedIndexes"), failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
	}
	if (completedTouched || failedTouched) && j.Spec.Completions != nil && s.FailedIndexes != nil {
		if i, both := firstCommonIndex(completed, failed, completions); both {
			errs = append(errs, field.Invalid(at.Child("failedIndexes"), failed, fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", i)))
		}
	}
	return errs
}

// validateProgress: what has been counted stays counted, what has begun has
// begun, and what is over is over.
func validateProgress(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	refuse := func(detail string) {
		errs = append(errs, field.Invalid(at.Child("conditions"), field.OmitValueType{}, detail))
	}
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		if hasCondition(was, t) && !hasCondition(s, t) {
			refuse(fmt.Sprintf("cannot disable the terminal %s=True condition", t))
		}
	}
	if s.Failed < was.Failed {
		errs = append(errs, field.Invalid(at.Child("failed"), s.Failed, "cannot decrease the failed counter"))
	}
	// Indexes that an elastic job no longer has are no longer counted.
	elastic := ptr.Deref(j.Spec.CompletionMode, "") == batchv1.IndexedCompletion && ptr.Equal(j.Spec.Completions, j.Spec.Parallelism)
	if s.Succeeded < was.Succeeded && !elastic {
		errs = append(errs, field.Invalid(at.Child("succeeded"), s.Succeeded, "cannot decrease the succeeded counter"))
	}
	if s.CompletionTime != nil && was.CompletionTime != nil && !check.Equal(s.CompletionTime, was.CompletionTime) {
		errs = append(errs, field.Invalid(at.Child("completionTime"), s.CompletionTime, check.Immutable))
	}
	// A job that has just been resumed begins anew.
	if was.StartTime != nil && !check.Equal(s.StartTime, was.StartTime) &&
		!ptr.Deref(j.Spec.Suspend, false) && !hasCondition(was, batchv1.JobSuspended) {
		errs = append(errs, field.Required(at.Child("startTime"), "startTime cannot be removed for unsuspended job"))
	}
	met, wasMet := hasCondition(s, batchv1.JobSuccessCriteriaMet), hasCondition(was, batchv1.JobSuccessCriteriaMet)
	if wasMet && !met {
		refuse("cannot disable the SuccessCriteriaMet=True condition")
	}
	if hasCondition(was, batchv1.JobComplete) && !wasMet && met {
		refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
	}
	return errs
}
