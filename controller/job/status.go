package job

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func condition(list []batchv1.JobCondition, t batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

// finished returns the condition with which a job has ended, or nil.
func finished(j *batchv1.Job) *batchv1.JobCondition {
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := condition(j.Status.Conditions, t); c != nil && c.Status == v1.ConditionTrue {
			return c
		}
	}
	return nil
}

// set writes a condition and reports whether it changed. One that is not there
// is not written to be false.
func (s *state) set(t batchv1.JobConditionType, status v1.ConditionStatus, reason, message string) bool {
	c := condition(s.p.status.Conditions, t)
	switch {
	case c == nil && status == v1.ConditionFalse, c != nil && c.Status == status && c.Reason == reason && c.Message == message:
		return false
	case c == nil:
		s.p.status.Conditions = append(s.p.status.Conditions, batchv1.JobCondition{})
		c = &s.p.status.Conditions[len(s.p.status.Conditions)-1]
	}
	at := metav1.NewTime(s.now)
	*c = batchv1.JobCondition{Type: t, Status: status, Reason: reason, Message: message, LastProbeTime: at, LastTransitionTime: at}
	return true
}

// suspend says whether the job is suspended. The deadline runs anew from when it
// goes on.
func (s *state) suspend() {
	if suspended(s.job) {
		if s.set(batchv1.JobSuspended, v1.ConditionTrue, "JobSuspended", "Job suspended") {
			s.p.events = append(s.p.events, event{v1.EventTypeNormal, "Suspended", "Job suspended"})
			s.p.status.StartTime = nil
		}
	} else if s.set(batchv1.JobSuspended, v1.ConditionFalse, "JobResumed", "Job resumed") {
		s.p.events = append(s.p.events, event{v1.EventTypeNormal, "Resumed", "Job resumed"})
		s.p.status.StartTime = &metav1.Time{Time: s.now}
	}
}

// track says which pods are counted now, and which have been and may go.
func (s *state) track() {
	u := s.p.status.UncountedTerminatedPods
	var fresh []int
	for _, p := range s.pods {
		if len(fresh)+len(u.Succeeded)+len(u.Failed) >= maxUncounted {
			break // the others come with the next reconcile
		}
		if !tracked(p) || slices.Contains(s.p.remove, p) || !s.releasable(p) {
			continue
		}
		s.p.release = append(s.p.release, p)
		switch {
		case !s.valid(p):
		case p.Status.Phase == v1.PodSucceeded && !s.uncountedFailed[p.UID]:
			if isIndexed(s.job) {
				fresh = append(fresh, indexOf(p))
			} else if !s.uncountedSucceeded[p.UID] {
				u.Succeeded = append(u.Succeeded, p.UID)
			}
		case s.uncountedFailed[p.UID] || judge(s.job.Spec.PodFailurePolicy, p).ignored:
		case failed(s.job, p), s.end != nil && s.end.Type == batchv1.JobFailed:
			// Of a job that failed, what still ran has failed too.
			u.Failed = append(u.Failed, p.UID)
		}
	}
	if !isIndexed(s.job) {
		return
	}
	all := s.counted.with(fresh...)
	s.p.status.CompletedIndexes, s.p.status.Succeeded = all.String(), int32(all.count())
	if perIndex(s.job) {
		text := s.failedIndexes.String()
		s.p.status.FailedIndexes = &text
	}
}

// releasable reports whether a pod has been counted for good once the status is
// written.
func (s *state) releasable(p *v1.Pod) bool {
	if s.job.DeletionTimestamp != nil || s.end != nil || p.Status.Phase == v1.PodSucceeded {
		return true
	}
	return failed(s.job, p) && s.waiting[indexOf(p)] != p
}

// finish fills in what is observed, and ends the job in two steps.
func (s *state) finish() {
	st := &s.p.status
	st.Ready, st.Terminating = &s.ready, &s.ending
	if s.end == nil {
		return
	}
	if s.end.Type == batchv1.JobFailed {
		s.set(batchv1.JobFailureTarget, v1.ConditionTrue, s.end.Reason, s.end.Message)
	} else {
		s.set(batchv1.JobSuccessCriteriaMet, v1.ConditionTrue, s.end.Reason, s.end.Message)
	}
	u := st.UncountedTerminatedPods
	if len(u.Succeeded)+len(u.Failed) > 0 || s.ending > 0 || slices.ContainsFunc(s.pods, tracked) {
		return
	}
	s.set(s.end.Type, v1.ConditionTrue, s.end.Reason, s.end.Message)
	if s.end.Type == batchv1.JobFailed {
		s.p.events = append(s.p.events, event{v1.EventTypeWarning, s.end.Reason, s.end.Message})
		return
	}
	st.CompletionTime = &metav1.Time{Time: s.now}
	if s.job.Spec.Completions != nil && st.Succeeded > *s.job.Spec.Completions {
		s.p.events = append(s.p.events, event{v1.EventTypeWarning, "TooManySucceededPods", "Too many succeeded pods running after completion count reached"})
	}
	s.p.events = append(s.p.events, event{v1.EventTypeNormal, "Completed", "Job completed"})
}
