package batch

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// maxCronJobName leaves room for the 11 characters that the controller appends
// to name a job.
const maxCronJobName = validation.DNS1035LabelMaxLength - 11

// CronJob is the row of cron jobs.
func CronJob() *resource.Definition {
	spec, status := batchv1.CronJobSpec{}.SwaggerDoc(), batchv1.CronJobStatus{}.SwaggerDoc()
	return resource.Row[*batchv1.CronJob]{
		Storage:      batchv1.SchemeGroupVersion,
		Kind:         "CronJob",
		Plural:       "cronjobs",
		ShortNames:   []string{"cj"},
		Categories:   []string{"all"},
		New:          func() *batchv1.CronJob { return new(batchv1.CronJob) },
		NewList:      func() runtime.Object { return new(batchv1.CronJobList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultCronJob,
		PrepareCreate: func(_ *resource.Request, c *batchv1.CronJob) {
			c.Status = batchv1.CronJobStatus{}
			core.DropDisabledTemplateFields(&c.Spec.JobTemplate.Spec.Template, nil)
		},
		PrepareUpdate: func(_ *resource.Request, c, old *batchv1.CronJob) {
			c.Status = *old.Status.DeepCopy()
			core.DropDisabledTemplateFields(&c.Spec.JobTemplate.Spec.Template, &old.Spec.JobTemplate.Spec.Template)
		},
		Validate: func(c *batchv1.CronJob) field.ErrorList {
			errs := validateCronJobSpec(&c.Spec, nil)
			if len(c.Name) > maxCronJobName {
				errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, "must be no more than 52 characters"))
			}
			return errs
		},
		ValidateUpdate: func(c, old *batchv1.CronJob) field.ErrorList { return validateCronJobSpec(&c.Spec, &old.Spec) },
		Warnings:       cronJobWarnings,
		Spec:           func(c *batchv1.CronJob) any { return &c.Spec },
		Updates: map[string]resource.Update[*batchv1.CronJob]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, c, old *batchv1.CronJob) {
					c.Spec = *old.Spec.DeepCopy()
				},
			},
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Schedule", spec["schedule"]),
			columns.String("Timezone", spec["timeZone"]),
			columns.Boolean("Suspend", spec["suspend"]),
			columns.Integer("Active", status["active"]),
			columns.String("Last Schedule", status["lastScheduleTime"]),
			columns.Age(),
		}, append(columns.ContainerColumns(), columns.Wide(columns.String("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"])))...),
		Cells: func(c *batchv1.CronJob, now time.Time) []any {
			last, suspend := columns.None, columns.Unset
			if t := c.Status.LastScheduleTime; t != nil {
				last = columns.Since(*t, now)
			}
			if b := c.Spec.Suspend; b != nil {
				suspend = map[bool]string{true: "True", false: "False"}[*b]
			}
			names, images := columns.Containers(c.Spec.JobTemplate.Spec.Template.Spec.Containers)
			return []any{
				c.Name, c.Spec.Schedule, ptr.Deref(c.Spec.TimeZone, columns.None), suspend, int64(len(c.Status.Active)), last,
				columns.Since(c.CreationTimestamp, now), names, images, columns.Selector(c.Spec.JobTemplate.Spec.Selector),
			}
		},
	}.Define()
}

func defaultCronJob(c *batchv1.CronJob) {
	s := &c.Spec
	if s.ConcurrencyPolicy == "" {
		s.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	if s.Suspend == nil {
		s.Suspend = new(false)
	}
	if s.SuccessfulJobsHistoryLimit == nil {
		s.SuccessfulJobsHistoryLimit = new(int32(3))
	}
	if s.FailedJobsHistoryLimit == nil {
		s.FailedJobsHistoryLimit = new(int32(1))
	}
	// The rest of the job is completed when it is made.
	defaultFailurePolicy(s.JobTemplate.Spec.PodFailurePolicy)
	core.DefaultPodSpec(&s.JobTemplate.Spec.Template.Spec)
}

// validateCronJobSpec checks a spec; old is nil at creation.
func validateCronJobSpec(s, old *batchv1.CronJobSpec) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if s.Schedule == "" {
		errs = append(errs, field.Required(at.Child("schedule"), ""))
	} else {
		errs = append(errs, validateSchedule(s, old, at.Child("schedule"))...)
	}
	if n := s.StartingDeadlineSeconds; n != nil {
		errs = append(errs, check.NonNegative(*n, at.Child("startingDeadlineSeconds"))...)
	}
	// A zone that was known once may have left the database.
	if old == nil || !ptr.Equal(s.TimeZone, old.TimeZone) {
		errs = append(errs, validateTimeZone(s.TimeZone, at.Child("timeZone"))...)
	}
	policies := []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}
	if s.ConcurrencyPolicy == "" {
		errs = append(errs, field.Required(at.Child("concurrencyPolicy"), ""))
	} else {
		errs = append(errs, check.OneOf(s.ConcurrencyPolicy, policies, at.Child("concurrencyPolicy"))...)
	}
	var oldTemplate *corev1.PodTemplateSpec
	if old != nil {
		oldTemplate = &old.JobTemplate.Spec.Template
	}
	errs = append(errs, validateTemplate(&s.JobTemplate.Spec, oldTemplate, at.Child("jobTemplate", "spec"))...)
	if n := s.SuccessfulJobsHistoryLimit; n != nil {
		errs = append(errs, check.NonNegative(int64(*n), at.Child("successfulJobsHistoryLimit"))...)
	}
	if n := s.FailedJobsHistoryLimit; n != nil {
		errs = append(errs, check.NonNegative(int64(*n), at.Child("failedJobsHistoryLimit"))...)
	}
	return errs
}

// validateSchedule: a time zone within the schedule was never meant to be an
// API, but the parser took it. Who has one may keep it.
func validateSchedule(s, old *batchv1.CronJobSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if _, err := ParseSchedule(s.Schedule); err != nil {
		errs = append(errs, field.Invalid(at, s.Schedule, err.Error()))
	}
	if !strings.Contains(s.Schedule, "TZ") {
		return errs
	}
	switch kept := old != nil && strings.Contains(old.Schedule, "TZ"); {
	case !kept:
		errs = append(errs, field.Invalid(at, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	case s.TimeZone != nil:
		errs = append(errs, field.Invalid(at, s.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
	}
	return errs
}

func validateTimeZone(zone *string, at *field.Path) field.ErrorList {
	if zone == nil {
		return nil
	}
	if *zone == "" {
		return field.ErrorList{field.Invalid(at, *zone, "timeZone must be nil or non-empty string")}
	}
	if _, err := LoadZone(*zone); err != nil {
		return field.ErrorList{field.Invalid(at, *zone, err.Error())}
	}
	return nil
}

func cronJobWarnings(c, old *batchv1.CronJob) []string {
	var out []string
	var was *corev1.PodTemplateSpec
	if old == nil {
		out = check.HostnameWarnings(c.Name)
	} else {
		was = &old.Spec.JobTemplate.Spec.Template
	}
	if old == nil || c.Generation != old.Generation {
		out = append(out, core.PodTemplateWarnings(&c.Spec.JobTemplate.Spec.Template, was, field.NewPath("spec", "jobTemplate", "spec", "template"))...)
	}
	if strings.Contains(c.Spec.Schedule, "TZ") {
		out = append(out, "cannot use TZ or CRON_TZ in spec.schedule, use timeZone field instead")
	}
	return out
}
