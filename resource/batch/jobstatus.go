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
	errs = append(errs, validateFinished(j, old, at)...)
	errs = append(errs, validateStatusIndexes(j, old, at)...)
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

// validateConditions: the terminal conditions exclude one another, follow
// their announcements, and stay.
func validateConditions(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	is := func(t batchv1.JobConditionType) bool { return hasCondition(&j.Status, t) }
	was := func(t batchv1.JobConditionType) bool { return hasCondition(&old.Status, t) }
	at = at.Child("conditions")
	refuse := func(detail string) { errs = append(errs, field.Invalid(at, field.OmitValueType{}, detail)) }
	comes := func(t batchv1.JobConditionType) bool { return is(t) && !was(t) }

	if (comes(batchv1.JobComplete) || comes(batchv1.JobFailed)) && is(batchv1.JobComplete) && is(batchv1.JobFailed) {
		refuse("cannot set Complete=True and Failed=true conditions")
	}
	if (comes(batchv1.JobComplete) || comes(batchv1.JobFailureTarget)) && is(batchv1.JobComplete) && is(batchv1.JobFailureTarget) {
		refuse("cannot set Complete=True and FailureTarget=true conditions")
	}
	if comes(batchv1.JobFailed) && !is(batchv1.JobFailureTarget) {
		refuse("cannot set Failed=True condition without the FailureTarget=true condition")
	}
	if comes(batchv1.JobComplete) && !is(batchv1.JobSuccessCriteriaMet) {
		refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	}
	if comes(batchv1.JobSuccessCriteriaMet) {
		if is(batchv1.JobFailed) {
			refuse("cannot set Failed=True and SuccessCriteriaMet=true conditions")
		}
		if is(batchv1.JobFailureTarget) {
			refuse("cannot set FailureTarget=true and SuccessCriteriaMet=true conditions")
		}
	}
	for _, t := range []batchv1.JobConditionType{
		batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet,
	} {
		if was(t) && !is(t) {
			refuse(fmt.Sprintf("cannot disable the terminal %s=True condition", t))
		}
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
	if was.CompletionTime != nil && !check.Equal(s.CompletionTime, was.CompletionTime) {
		errs = append(errs, field.Invalid(end, s.CompletionTime, "completionTime cannot be mutated"))
	}
	startTouched := !check.Equal(s.StartTime, was.StartTime)
	if (touched || startTouched) && s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime) {
		errs = append(errs, field.Invalid(end, s.CompletionTime, "completionTime cannot be set before startTime"))
	}
	if startTouched && was.StartTime != nil && !ptr.Deref(j.Spec.Suspend, false) && !hasCondition(was, batchv1.JobSuspended) {
		if s.StartTime == nil {
			errs = append(errs, field.Required(at.Child("startTime"), "startTime cannot be removed for unsuspended job"))
		} else {
			errs = append(errs, field.Required(at.Child("startTime"), "startTime cannot be modified for unsuspended job"))
		}
	}
	return errs
}

// validateFinished: nothing of a finished job is left running or uncounted.
func validateFinished(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	finished := func(s *batchv1.JobStatus) bool {
		return hasCondition(s, batchv1.JobComplete) || hasCondition(s, batchv1.JobFailed)
	}
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
		errs = append(errs, field.Invalid(at.Child("uncountedTerminatedPods"), check.GoForm{Value: u}, "uncountedTerminatedPods needs to be empty for finished job"))
	}
	if n := s.Terminating; (becomes || !ptr.Equal(n, was.Terminating)) && now && n != nil && *n > 0 {
		errs = append(errs, field.Invalid(at.Child("terminating"), *n, "terminating>0 is invalid for finished job"))
	}
	if n := s.Ready; (s.Active != was.Active || !ptr.Equal(n, was.Ready)) && n != nil && *n > s.Active {
		errs = append(errs, field.Invalid(at.Child("ready"), *n, "cannot set more ready pods than active"))
	}
	return errs
}

func validateStatusIndexes(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	indexed := ptr.Deref(j.Spec.CompletionMode, "") == batchv1.IndexedCompletion
	completions := ptr.Deref(j.Spec.Completions, 0)
	completed, failed := s.CompletedIndexes, ptr.Deref(s.FailedIndexes, "")
	completedTouched, failedTouched := completed != was.CompletedIndexes, !ptr.Equal(s.FailedIndexes, was.FailedIndexes)
	if completedTouched && completed != "" {
		if !indexed {
			errs = append(errs, field.Invalid(at.Child("completedIndexes"), completed, "cannot set non-empty completedIndexes when non-indexed completion mode"))
		} else if _, err := CountIndexes(completed, completions); err != nil {
			errs = append(errs, field.Invalid(at.Child("completedIndexes"), completed, fmt.Sprintf("error parsing completedIndexes: %s", err)))
		}
	}
	if failedTouched && s.FailedIndexes != nil {
		at := at.Child("failedIndexes")
		if j.Spec.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Invalid(at, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
		} else if _, err := CountIndexes(failed, completions); err != nil {
			errs = append(errs, field.Invalid(at, failed, fmt.Sprintf("error parsing failedIndexes: %s", err)))
		}
	}
	if (completedTouched || failedTouched) && indexed && indexesOverlap(completed, failed, completions) {
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "failedIndexes and completedIndexes overlap"))
	}
	if indexed && s.Succeeded != was.Succeeded && s.Succeeded > completions {
		errs = append(errs, field.Invalid(at.Child("succeeded"), s.Succeeded, "cannot set more succeeded than completions for indexed job"))
	}
	return errs
}

// validateProgress: what has been counted stays counted.
func validateProgress(j, old *batchv1.Job, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if j.Status.Failed < old.Status.Failed {
		errs = append(errs, field.Invalid(at.Child("failed"), j.Status.Failed, "cannot decrease the failed counter"))
	}
	// Indexes that an elastic job no longer has are no longer counted.
	if j.Status.Succeeded < old.Status.Succeeded && ptr.Deref(j.Spec.CompletionMode, "") != batchv1.IndexedCompletion {
		errs = append(errs, field.Invalid(at.Child("succeeded"), j.Status.Succeeded, "cannot decrease the succeeded counter"))
	}
	return errs
}
