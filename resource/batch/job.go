package batch

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
	"proa/resource/core"
)

// The labels by which pods know their job carried no prefix at first. Both
// forms are kept.
const (
	legacyUIDLabel  = "controller-uid"
	legacyNameLabel = "job-name"
)

// Job is the row of jobs.
func Job() *resource.Definition {
	return resource.Row[*batchv1.Job]{
		Storage:       batchv1.SchemeGroupVersion,
		Kind:          "Job",
		Plural:        "jobs",
		Categories:    []string{"all"},
		New:           func() *batchv1.Job { return new(batchv1.Job) },
		NewList:       func() runtime.Object { return new(batchv1.JobList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Default:       defaultJob,
		PrepareCreate: prepareJob,
		PrepareUpdate: func(_ *resource.Request, j, old *batchv1.Job) {
			j.Status = *old.Status.DeepCopy()
			core.DropDisabledTemplateFields(&j.Spec.Template, &old.Spec.Template)
		},
		Validate:       validateJob,
		ValidateUpdate: validateJobUpdate,
		Warnings: func(j, old *batchv1.Job) []string {
			if old != nil {
				if j.Generation == old.Generation {
					return nil
				}
				return core.PodTemplateWarnings(&j.Spec.Template, &old.Spec.Template, field.NewPath("spec", "template"))
			}
			return jobWarnings(j)
		},
		Spec: func(j *batchv1.Job) any { return &j.Spec },
		// Clients of the first releases relied on it.
		OrphanByDefault: true,
		Updates: map[string]resource.Update[*batchv1.Job]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, j, old *batchv1.Job) {
					j.Spec = *old.Spec.DeepCopy()
				},
				ValidateUpdate: validateJobStatus,
			},
		},
		Fields: func(j *batchv1.Job) map[string]string {
			return map[string]string{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
		},
		Columns: append([]metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Status", "Status of the job."),
			columns.String("Completions", batchv1.JobStatus{}.SwaggerDoc()["succeeded"]),
			columns.String("Duration", "Time required to complete the job."),
			columns.Age(),
		}, append(columns.ContainerColumns(), columns.Wide(columns.String("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"])))...),
		Cells: func(j *batchv1.Job, now time.Time) []any {
			names, images := columns.Containers(j.Spec.Template.Spec.Containers)
			return []any{
				j.Name, statusCell(j), completionsCell(j), durationCell(j, now), columns.Since(j.CreationTimestamp, now),
				names, images, columns.Selector(j.Spec.Selector),
			}
		},
	}.Define()
}

func defaultJob(j *batchv1.Job) {
	s := &j.Spec
	if s.Completions == nil && s.Parallelism == nil {
		s.Completions = new(int32(1))
	}
	if s.Parallelism == nil {
		s.Parallelism = new(int32(1))
	}
	if s.BackoffLimit == nil {
		if s.BackoffLimitPerIndex != nil {
			s.BackoffLimit = new(int32(math.MaxInt32))
		} else {
			s.BackoffLimit = new(int32(6))
		}
	}
	if s.CompletionMode == nil {
		s.CompletionMode = new(batchv1.NonIndexedCompletion)
	}
	if s.Suspend == nil {
		s.Suspend = new(false)
	}
	if s.ManualSelector == nil {
		s.ManualSelector = new(false)
	}
	if s.PodReplacementPolicy == nil {
		p := batchv1.TerminatingOrFailed
		if s.PodFailurePolicy != nil {
			p = batchv1.Failed
		}
		s.PodReplacementPolicy = &p
	}
	defaultFailurePolicy(s.PodFailurePolicy)
	core.DefaultPodSpec(&s.Template.Spec)
	// A job without labels has those of its pods. A new job whose pods have
	// not got their generated labels yet has to wait for them.
	if len(j.Labels) == 0 && (*s.ManualSelector || s.Template.Labels[batchv1.ControllerUidLabel] != "") {
		j.Labels = maps.Clone(s.Template.Labels)
	}
}

func defaultFailurePolicy(p *batchv1.PodFailurePolicy) {
	if p == nil {
		return
	}
	for i := range p.Rules {
		for k := range p.Rules[i].OnPodConditions {
			if c := &p.Rules[i].OnPodConditions[k]; c.Status == "" {
				c.Status = corev1.ConditionTrue
			}
		}
	}
}

// prepareJob clears the status and makes the selector, unless the client says
// that it brings its own.
func prepareJob(_ *resource.Request, j *batchv1.Job) {
	j.Status = batchv1.JobStatus{}
	core.DropDisabledTemplateFields(&j.Spec.Template, nil)
	if !ptr.Deref(j.Spec.ManualSelector, false) {
		generateSelector(j)
	}
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(j.Spec.Template.Labels)
	}
}

// generateSelector labels the pods with the job's name and uid and selects them
// by the uid, which no other job will ever have. Values that the client has set
// stay, and are refused by validation where they differ.
func generateSelector(j *batchv1.Job) {
	t := &j.Spec.Template
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	for label, value := range generatedLabels(j) {
		if _, set := t.Labels[label]; !set {
			t.Labels[label] = value
		}
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, set := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !set {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
}

func generatedLabels(j *batchv1.Job) map[string]string {
	return map[string]string{
		legacyUIDLabel:             string(j.UID),
		legacyNameLabel:            j.Name,
		batchv1.ControllerUidLabel: string(j.UID),
		batchv1.JobNameLabel:       j.Name,
	}
}

func jobWarnings(j *batchv1.Job) []string {
	out := append(check.HostnameWarnings(j.Name), core.PodTemplateWarnings(&j.Spec.Template, nil, field.NewPath("spec", "template"))...)
	if ptr.Deref(j.Spec.CompletionMode, "") == batchv1.IndexedCompletion &&
		ptr.Deref(j.Spec.Completions, 0) > manyCompletions && ptr.Deref(j.Spec.Parallelism, 0) > parallelismOfMany {
		out = append(out, "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	return out
}

func hasCondition(s *batchv1.JobStatus, t batchv1.JobConditionType) bool {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return s.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

func statusCell(j *batchv1.Job) string {
	switch has := func(t batchv1.JobConditionType) bool { return hasCondition(&j.Status, t) }; {
	case has(batchv1.JobComplete):
		return "Complete"
	case has(batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case has(batchv1.JobSuspended):
		return "Suspended"
	case has(batchv1.JobFailureTarget):
		return "FailureTarget"
	case has(batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func completionsCell(j *batchv1.Job) string {
	if n := j.Spec.Completions; n != nil {
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *n)
	}
	if n := ptr.Deref(j.Spec.Parallelism, 0); n > 1 {
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, n)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func durationCell(j *batchv1.Job, now time.Time) string {
	switch start, end := j.Status.StartTime, j.Status.CompletionTime; {
	case start == nil:
		return ""
	case end == nil:
		return duration.HumanDuration(now.Sub(start.Time))
	default:
		return duration.HumanDuration(end.Sub(start.Time))
	}
}
