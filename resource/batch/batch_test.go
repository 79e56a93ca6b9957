package batch

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
)

var noon = time.Date(2026, 4, 22, 12, 0, 0, 0, time.UTC)

// created is a job as it is after the hooks of a create.
func created(change func(*batchv1.Job)) *batchv1.Job {
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "pi", Namespace: "default", UID: "1-2-3"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "pi", Image: "perl"}},
		}}},
	}
	if change != nil {
		change(j)
	}
	d := Job()
	d.Default(j)
	d.PrepareCreate(&resource.Request{Now: metav1.NewTime(noon)}, j)
	return j
}

func messages(errs field.ErrorList) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Error())
	}
	return out
}

func expect(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	got := messages(errs)
	if len(got) != len(want) {
		t.Errorf("got  %q\nwant %q", got, want)
		return
	}
	for i := range got {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %q\nwant %q", got[i], want[i])
		}
	}
}

func TestJobSelectorIsGenerated(t *testing.T) {
	t.Parallel()
	j := created(nil)
	expect(t, Job().Validate(j))
	for label, want := range map[string]string{
		"controller-uid": "1-2-3", "batch.kubernetes.io/controller-uid": "1-2-3",
		"job-name": "pi", "batch.kubernetes.io/job-name": "pi",
	} {
		if got := j.Spec.Template.Labels[label]; got != want {
			t.Errorf("label %s of the pods is %q", label, got)
		}
		if got := j.Labels[label]; got != want {
			t.Errorf("label %s of the job is %q", label, got)
		}
	}
	if s := metav1.FormatLabelSelector(j.Spec.Selector); s != "batch.kubernetes.io/controller-uid=1-2-3" {
		t.Errorf("the selector is %s", s)
	}
}

func TestJobSelectorOfItsOwn(t *testing.T) {
	t.Parallel()
	own := func(j *batchv1.Job) {
		j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "pi"}}
		j.Spec.Template.Labels = map[string]string{"app": "pi"}
	}
	expect(t, Job().Validate(created(own)), "spec.selector: Invalid value: ")
	expect(t, Job().Validate(created(func(j *batchv1.Job) {
		own(j)
		j.Spec.ManualSelector = new(true)
	})))
}

func TestJobValidation(t *testing.T) {
	t.Parallel()
	indexed := func(n int32, change func(*batchv1.JobSpec)) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Spec.CompletionMode, j.Spec.Completions = new(batchv1.IndexedCompletion), &n
			if change != nil {
				change(&j.Spec)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*batchv1.Job)
		want   []string
	}{
		"restarts always": {func(j *batchv1.Job) { j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyAlways },
			[]string{`spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`}},
		"negative": {func(j *batchv1.Job) { j.Spec.Parallelism = new(int32(-1)) },
			[]string{"spec.parallelism: Invalid value: -1: must be greater than or equal to 0"}},
		"per index without indexes": {func(j *batchv1.Job) { j.Spec.BackoffLimitPerIndex = new(int32(1)) },
			[]string{"spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"}},
		"indexed without completions": {func(j *batchv1.Job) {
			j.Spec.CompletionMode, j.Spec.Parallelism = new(batchv1.IndexedCompletion), new(int32(2))
		}, []string{"spec.completions: Required value: when completion mode is Indexed"}},
		"more failures than indexes": {indexed(2, func(s *batchv1.JobSpec) {
			s.BackoffLimitPerIndex, s.MaxFailedIndexes = new(int32(1)), new(int32(3))
		}), []string{"spec.maxFailedIndexes: Invalid value: 3: must be less than or equal to completions"}},
		"bad success indexes": {indexed(5, func(s *batchv1.JobSpec) {
			s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: new("3-1")}}}
		}), []string{`spec.successPolicy.rules[0].succeededIndexes: Invalid value: "3-1": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1`}},
		"failure rule of nothing": {func(j *batchv1.Job) {
			j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionIgnore}}}
		}, []string{"spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"}},
		"exit codes": {func(j *batchv1.Job) {
			j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action: batchv1.PodFailurePolicyActionFailJob,
				OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
					ContainerName: new("other"), Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{2, 0},
				},
			}}}
		}, []string{
			`spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "other": must be one of the container or initContainer names in the pod template`,
			"spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
			"spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0]: must be ordered",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, Job().Validate(created(c.change)), c.want...)
		})
	}
}

func TestJobUpdate(t *testing.T) {
	t.Parallel()
	old := created(func(j *batchv1.Job) { j.Spec.Suspend = new(true) })
	move := func(j *batchv1.Job) *batchv1.Job {
		j = j.DeepCopy()
		j.Spec.Template.Spec.NodeSelector = map[string]string{"zone": "a"}
		return j
	}
	expect(t, Job().ValidateUpdate(move(old), old))

	running := old.DeepCopy()
	running.Spec.Suspend = new(false)
	running.Status.StartTime = new(metav1.NewTime(noon))
	expect(t, Job().ValidateUpdate(move(running), running), "spec.template: Invalid value: ")

	more := running.DeepCopy()
	more.Spec.Completions = new(int32(2))
	expect(t, Job().ValidateUpdate(more, running), "spec.completions: Invalid value: 2: field is immutable")
}

func TestJobStatus(t *testing.T) {
	t.Parallel()
	status := Job().Updates["status"].ValidateUpdate
	old := created(nil)
	old.Status = batchv1.JobStatus{StartTime: new(metav1.NewTime(noon)), Active: 1}

	done := old.DeepCopy()
	done.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	expect(t, status(done, old),
		"status.completionTime: Required value: completionTime is required for Complete jobs",
		"status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
		"status.active: Invalid value: 1: active>0 is invalid for finished job")

	done.Status.Active, done.Status.Succeeded = 0, 1
	done.Status.CompletionTime = new(metav1.NewTime(noon.Add(time.Minute)))
	done.Status.Conditions = append(done.Status.Conditions, batchv1.JobCondition{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue})
	expect(t, status(done, old))
	expect(t, status(old, done),
		"status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
		"status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
		"status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition")

	later := old.DeepCopy()
	later.Status.StartTime = new(metav1.NewTime(noon.Add(time.Second)))
	expect(t, status(later, old), "status.startTime: Required value: startTime cannot be removed for unsuspended job")
	resumed := old.DeepCopy()
	resumed.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}}
	expect(t, status(later, resumed))
}

func TestJobCells(t *testing.T) {
	t.Parallel()
	j := created(nil)
	j.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	j.Status = batchv1.JobStatus{StartTime: new(metav1.NewTime(noon.Add(-time.Minute)))}
	want := []any{"pi", "Running", "0/1", "60s", "60m", "pi", "perl", "batch.kubernetes.io/controller-uid=1-2-3"}
	if got := Job().Cells(j, noon); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	j.Status.CompletionTime, j.Status.Succeeded = new(metav1.NewTime(noon.Add(-30*time.Second))), 1
	if got := Job().Cells(j, noon)[1:4]; !slices.Equal(got, []any{"Complete", "1/1", "30s"}) {
		t.Errorf("done: %v", got)
	}
}

func TestCountIndexes(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]int32{"": 0, "0": 1, "0,2-4": 4, "1-9": 9} {
		if n, err := CountIndexes(list, 10); n != want || err != nil {
			t.Errorf("%q has %d indexes (%v)", list, n, err)
		}
	}
	for _, list := range []string{",", "a", "1-2-3", "2-2", "3,3", "5-6,6", "10", "99999999999"} {
		if _, err := CountIndexes(list, 10); err == nil {
			t.Errorf("%q is accepted", list)
		}
	}
	for _, c := range []struct {
		a, b string
		at   int32
		want bool
	}{{"0-2,5", "3-4,6", 0, false}, {"0-2,5", "4-5", 5, true}, {"0-2", "1-9", 1, true}, {"", "1", 0, false}} {
		if i, both := firstCommonIndex(c.a, c.b, 10); both != c.want || i != c.at {
			t.Errorf("%q and %q: overlap at %d is %v", c.a, c.b, i, both)
		}
	}
}

func cronJob(schedule string, change func(*batchv1.CronJob)) *batchv1.CronJob {
	c := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "tick", Namespace: "default"},
		Spec:       batchv1.CronJobSpec{Schedule: schedule, JobTemplate: batchv1.JobTemplateSpec{Spec: created(nil).Spec}},
	}
	c.Spec.JobTemplate.Spec.Selector = nil
	if change != nil {
		change(c)
	}
	CronJob().Default(c)
	return c
}

func TestCronJobValidation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule string
		change   func(*batchv1.CronJob)
		want     []string
	}{
		"good":         {"*/5 * * * *", func(c *batchv1.CronJob) { c.Spec.TimeZone = new("Asia/Kolkata") }, nil},
		"descriptor":   {"@hourly", nil, nil},
		"none":         {"", nil, []string{"spec.schedule: Required value"}},
		"four fields":  {"* * * *", nil, []string{`spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]`}},
		"zone inside":  {"TZ=UTC 0 0 * * *", nil, []string{`spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead`}},
		"zone alone":   {"TZ=0", nil, []string{`spec.schedule: Invalid value: "TZ=0": provided bad location 0`, `spec.schedule: Invalid value: "TZ=0": cannot use TZ`}},
		"unknown zone": {"@daily", func(c *batchv1.CronJob) { c.Spec.TimeZone = new("Amsterdam") }, []string{`spec.timeZone: Invalid value: "Amsterdam": unknown time zone Amsterdam`}},
		"local zone":   {"@daily", func(c *batchv1.CronJob) { c.Spec.TimeZone = new("local") }, []string{`spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones`}},
		"long name": {"@daily", func(c *batchv1.CronJob) { c.Name = strings.Repeat("x", 53) },
			[]string{`metadata.name: Invalid value: "` + strings.Repeat("x", 53) + `": must be no more than 52 characters`}},
		"own selector": {"@daily", func(c *batchv1.CronJob) { c.Spec.JobTemplate.Spec.ManualSelector = new(true) },
			[]string{`spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, CronJob().Validate(cronJob(c.schedule, c.change)), c.want...)
		})
	}
}

func TestCronJobKeepsItsZone(t *testing.T) {
	t.Parallel()
	old := cronJob("TZ=UTC 0 0 * * *", nil)
	expect(t, CronJob().ValidateUpdate(old.DeepCopy(), old))
	both := old.DeepCopy()
	both.Spec.TimeZone = new("UTC")
	expect(t, CronJob().ValidateUpdate(both, old), `spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule`)
}
