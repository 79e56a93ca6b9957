package cronjob

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/resource/batch"
)

var kind = batchv1.SchemeGroupVersion.WithKind("CronJob")

// view is what a decision is made from.
type view struct {
	cron *batchv1.CronJob
	// jobs that the cron job owns, those of its active list among them.
	jobs []*batchv1.Job
	// gone are those of the active list that the API does not have any more.
	gone map[types.UID]bool
	now  time.Time
}

// plan is what one reconcile has to do, in this order.
type plan struct {
	// forget are jobs that ended long ago, replace those that run and are to
	// make room.
	forget, replace []*batchv1.Job
	// start is the job to be made, of the time at.
	start *batchv1.Job
	at    time.Time
	// status leaves out what start and replace will change.
	status batchv1.CronJobStatus
	events []event
	// again is when time alone will change the answer, zero for never.
	again time.Duration
}

type event struct{ kind, reason, message string }

func (p *plan) say(kind, reason, format string, args ...any) {
	p.events = append(p.events, event{kind, reason, fmt.Sprintf(format, args...)})
}

func decide(v view) plan {
	p := plan{status: *v.cron.Status.DeepCopy()}
	v.observe(&p)
	v.history(&p)
	if v.cron.DeletionTimestamp == nil {
		v.due(&p)
	}
	return p
}

func ended(j *batchv1.Job) batchv1.JobConditionType {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == v1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}

// observe brings the active list up to date.
func (v view) observe(p *plan) {
	active := func(uid types.UID) bool {
		return slices.ContainsFunc(p.status.Active, func(r v1.ObjectReference) bool { return r.UID == uid })
	}
	for _, j := range v.jobs {
		how := ended(j)
		switch {
		case how == "" && !active(j.UID) && j.DeletionTimestamp == nil:
			p.say(v1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		case how != "" && active(j.UID):
			p.drop(j.UID)
			p.say(v1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, how)
		}
		if t := j.Status.CompletionTime; how == batchv1.JobComplete && t != nil && (p.status.LastSuccessfulTime == nil || t.After(p.status.LastSuccessfulTime.Time)) {
			p.status.LastSuccessfulTime = t.DeepCopy()
		}
	}
	for _, r := range v.cron.Status.Active {
		if v.gone[r.UID] {
			p.drop(r.UID)
			p.say(v1.EventTypeNormal, "MissingJob", "Active job went missing: %v", r.Name)
		}
	}
}

func (p *plan) drop(uid types.UID) {
	p.status.Active = slices.DeleteFunc(p.status.Active, func(r v1.ObjectReference) bool { return r.UID == uid })
}

// history forgets the oldest of the jobs that ended, beyond the limits.
func (v view) history(p *plan) {
	for how, limit := range map[batchv1.JobConditionType]*int32{
		batchv1.JobComplete: v.cron.Spec.SuccessfulJobsHistoryLimit, batchv1.JobFailed: v.cron.Spec.FailedJobsHistoryLimit,
	} {
		if limit == nil {
			continue
		}
		list := slices.DeleteFunc(slices.Clone(v.jobs), func(j *batchv1.Job) bool { return ended(j) != how || j.DeletionTimestamp != nil })
		slices.SortFunc(list, older)
		p.forget = append(p.forget, list[:max(0, len(list)-int(*limit))]...)
	}
	slices.SortFunc(p.forget, older)
}

// older puts first what began first. What never began comes last.
func older(a, b *batchv1.Job) int {
	x, y := a.Status.StartTime, b.Status.StartTime
	switch {
	case x == nil && y == nil:
		return cmp.Compare(a.Name, b.Name)
	case x == nil:
		return 1
	case y == nil:
		return -1
	}
	return cmp.Or(x.Compare(y.Time), cmp.Compare(a.Name, b.Name))
}

// due decides whether a job is to be made now.
func (v view) due(p *plan) {
	c := v.cron
	if z := c.Spec.TimeZone; z != nil {
		if _, err := batch.LoadZone(*z); err != nil {
			p.say(v1.EventTypeWarning, "UnknownTimeZone", "invalid timeZone: %q: %s", *z, err)
			return
		}
	}
	if c.Spec.Suspend != nil && *c.Spec.Suspend {
		return
	}
	if zoned(c.Spec.Schedule) {
		p.say(v1.EventTypeWarning, "UnsupportedSchedule", "CRON_TZ or TZ used in schedule %q is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", c.Spec.Schedule)
	}
	s, err := schedule(c)
	if err != nil {
		p.say(v1.EventTypeWarning, "UnparseableSchedule", "unparseable schedule: %q : %s", c.Spec.Schedule, err)
		return
	}
	from := begin(c)
	if d := c.Spec.StartingDeadlineSeconds; d != nil {
		if t := v.now.Add(-time.Duration(*d) * time.Second); t.After(from) {
			from = t
		}
	}
	at, many, err := latest(s, from, v.now)
	if err != nil {
		p.say(v1.EventTypeWarning, "InvalidSchedule", "invalid schedule: %s : %s", c.Spec.Schedule, err)
		return
	}
	p.again = untilNext(c, s, v.now)
	if at.IsZero() {
		return
	}
	if many {
		p.say(v1.EventTypeWarning, "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	name := nameOf(c, at)
	if slices.ContainsFunc(p.status.Active, func(r v1.ObjectReference) bool { return r.Name == name }) ||
		c.Status.LastScheduleTime != nil && c.Status.LastScheduleTime.Time.Equal(at) {
		return
	}
	if len(p.status.Active) > 0 {
		switch c.Spec.ConcurrencyPolicy {
		case batchv1.ForbidConcurrent:
			p.say(v1.EventTypeNormal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
			return
		case batchv1.ReplaceConcurrent:
			for _, j := range v.jobs {
				if slices.ContainsFunc(p.status.Active, func(r v1.ObjectReference) bool { return r.UID == j.UID }) {
					p.replace = append(p.replace, j)
				}
			}
		}
	}
	p.at, p.start = at, newJob(c, at)
}

func nameOf(c *batchv1.CronJob, at time.Time) string {
	return fmt.Sprintf("%s-%d", c.Name, at.Unix()/60)
}

// newJob makes the job of a time.
func newJob(c *batchv1.CronJob, at time.Time) *batchv1.Job {
	t := c.Spec.JobTemplate.DeepCopy()
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: nameOf(c, at), Labels: t.Labels, Annotations: maps.Clone(t.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, kind)},
		},
		Spec: t.Spec,
	}
	if j.Annotations == nil {
		j.Annotations = map[string]string{}
	}
	zone := time.UTC
	if z := c.Spec.TimeZone; z != nil {
		if l, err := batch.LoadZone(*z); err == nil {
			zone = l
		}
	}
	j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] = at.In(zone).Format(time.RFC3339)
	return j
}
