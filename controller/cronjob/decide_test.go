package cronjob

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/resource/batch"
)

// TestLatest: against walking through all times.
func TestLatest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		text := []string{"* * * * *", "*/7 * * * *", "30 6-16/4 * * 1-5", "0 0 29 2 *", "@hourly", "@every 7m", "@every 90s", "5 4 * * 0", "TZ=Europe/Berlin 30 2 * * *"}[random.IntN(9)]
		s, err := batch.ParseSchedule(text)
		if err != nil {
			t.Fatal(err)
		}
		after := time.Unix(1_700_000_000+random.Int64N(1e7), 0).UTC()
		until := after.Add(time.Duration(random.Int64N(int64(72 * time.Hour))))
		var want time.Time
		n := 0
		for next := s.Next(after); !next.After(until); next = s.Next(next) {
			want = next
			n++
		}
		got, many, err := latest(s, after, until)
		if err != nil || !got.Equal(want) {
			t.Fatalf("seed %d: %q from %v to %v: %v, want %v, %v", seed, text, after, until, got, want, err)
		}
		if text == "* * * * *" && many != (n > manyMissed) {
			t.Errorf("seed %d: %d times, many: %t", seed, n, many)
		}
	}
	never, err := batch.ParseSchedule("59 23 31 2 *")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := latest(never, time.Unix(0, 0), time.Unix(1e9, 0)); err == nil {
		t.Error("the 31st of February has come")
	}
}

var created = time.Date(2030, 1, 1, 10, 0, 30, 0, time.UTC)

type change func(*batchv1.CronJob)

// job reads "name flags": active (in the list), complete, failed, gone, "at="
// minutes after which it began.
func jobs(c *batchv1.CronJob, texts []string) (list []*batchv1.Job, gone map[types.UID]bool) {
	gone = map[types.UID]bool{}
	for _, text := range texts {
		name, flags, _ := strings.Cut(text, " ")
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		there := true
		for f := range strings.FieldsSeq(flags) {
			key, value, _ := strings.Cut(f, "=")
			switch key {
			case "active":
				c.Status.Active = append(c.Status.Active, v1.ObjectReference{Name: name, UID: j.UID})
			case "complete", "failed":
				k := map[string]batchv1.JobConditionType{"complete": batchv1.JobComplete, "failed": batchv1.JobFailed}[key]
				j.Status.Conditions = []batchv1.JobCondition{{Type: k, Status: v1.ConditionTrue}}
				j.Status.CompletionTime = &metav1.Time{Time: created}
			case "gone":
				gone[j.UID], there = true, false
			case "at":
				var n int
				_, _ = fmt.Sscan(value, &n)
				j.Status.StartTime = &metav1.Time{Time: created.Add(time.Duration(n) * time.Minute)}
			default:
				panic(f)
			}
		}
		if there {
			list = append(list, j)
		}
	}
	return list, gone
}

func TestDecide(t *testing.T) {
	t.Parallel()
	deadline := func(n int64) change { return func(c *batchv1.CronJob) { c.Spec.StartingDeadlineSeconds = &n } }
	last := func(minutes int) change {
		return func(c *batchv1.CronJob) {
			c.Status.LastScheduleTime = &metav1.Time{Time: created.Truncate(time.Minute).Add(time.Duration(minutes) * time.Minute)}
		}
	}
	policy := func(p batchv1.ConcurrencyPolicy) change {
		return func(c *batchv1.CronJob) { c.Spec.ConcurrencyPolicy = p }
	}
	at := func(s string) change { return func(c *batchv1.CronJob) { c.Spec.Schedule = s } }
	zone := func(s string) change { return func(c *batchv1.CronJob) { c.Spec.TimeZone = &s } }
	suspend := func(c *batchv1.CronJob) { yes := true; c.Spec.Suspend = &yes }
	keep := func(succeeded, failed int32) change {
		return func(c *batchv1.CronJob) {
			c.Spec.SuccessfulJobsHistoryLimit, c.Spec.FailedJobsHistoryLimit = &succeeded, &failed
		}
	}
	for name, c := range map[string]struct {
		cron  []change
		jobs  []string
		after time.Duration // since it was created
		want  string        // started; replaced; forgotten; active; events; again
	}{
		"not yet":             {nil, nil, 10 * time.Second, "; []; []; []; []; 4m20.1s"},
		"now":                 {nil, nil, 4*time.Minute + 31*time.Second, "10:05; []; []; []; []; 4m59.1s"},
		"made already":        {[]change{last(5)}, nil, 5 * time.Minute, "; []; []; []; []; 4m30.1s"},
		"noted already":       {nil, []string{"c-31558205 active"}, 5 * time.Minute, "; []; []; [c-31558205]; []; 4m30.1s"},
		"several missed":      {nil, nil, 20 * time.Minute, "10:20; []; []; []; []; 4m30.1s"},
		"very many missed":    {nil, nil, 1000 * time.Minute, "02:40; []; []; []; [TooManyMissedTimes]; 4m30.1s"},
		"within the deadline": {[]change{deadline(60)}, nil, 5 * time.Minute, "10:05; []; []; []; []; 4m30.1s"},
		"too late":            {[]change{deadline(10)}, nil, 5 * time.Minute, "; []; []; []; []; 4m30.1s"},
		"suspended":           {[]change{suspend}, nil, 20 * time.Minute, "; []; []; []; []; 0s"},
		"in a zone":           {[]change{at("0 12 * * *"), zone("Europe/Berlin")}, nil, 2 * time.Hour, "11:00; []; []; []; []; 22h59m30.1s"},
		"in no zone":          {[]change{zone("Europe/Nowhere")}, nil, 20 * time.Minute, "; []; []; []; [UnknownTimeZone]; 0s"},
		"nonsense":            {[]change{at("now and then")}, nil, 20 * time.Minute, "; []; []; []; [UnparseableSchedule]; 0s"},
		"never":               {[]change{at("0 0 31 2 *")}, nil, 20 * time.Minute, "; []; []; []; [InvalidSchedule]; 0s"},
		"beside another":      {[]change{policy(batchv1.AllowConcurrent)}, []string{"a active"}, 5 * time.Minute, "10:05; []; []; [a]; []; 4m30.1s"},
		"not beside another":  {[]change{policy(batchv1.ForbidConcurrent)}, []string{"a active"}, 5 * time.Minute, "; []; []; [a]; [JobAlreadyActive]; 4m30.1s"},
		"in place of another": {[]change{policy(batchv1.ReplaceConcurrent)}, []string{"a active", "b complete"}, 5 * time.Minute, "10:05; [a]; []; [a]; []; 4m30.1s"},
		"after another":       {[]change{policy(batchv1.ForbidConcurrent)}, []string{"a active complete"}, 5 * time.Minute, "10:05; []; []; []; [SawCompletedJob]; 4m30.1s"},
		"one is gone":         {[]change{policy(batchv1.ForbidConcurrent)}, []string{"a active gone"}, 5 * time.Minute, "10:05; []; []; []; [MissingJob]; 4m30.1s"},
		"one is strange":      {nil, []string{"a"}, 10 * time.Second, "; []; []; []; [UnexpectedJob]; 4m20.1s"},
		"history": {[]change{keep(1, 0)}, []string{"a complete at=2", "b complete at=1", "c failed at=3", "d active", "e complete at=0"}, 10 * time.Second,
			"; []; [e b c]; [d]; []; 4m20.1s"},
		"going away": {[]change{func(c *batchv1.CronJob) { c.DeletionTimestamp = &metav1.Time{Time: created} }}, []string{"a active failed"}, 5 * time.Minute, "; []; []; []; [SawCompletedJob]; 0s"},
	} {
		cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", CreationTimestamp: metav1.NewTime(created)}, Spec: batchv1.CronJobSpec{Schedule: "*/5 * * * *"}}
		for _, f := range c.cron {
			f(cron)
		}
		list, gone := jobs(cron, c.jobs)
		p := decide(view{cron: cron, jobs: list, gone: gone, now: created.Add(c.after)})
		names := func(list []*batchv1.Job) (out []string) {
			for _, j := range list {
				out = append(out, j.Name)
			}
			return out
		}
		started := ""
		if p.start != nil {
			started = p.at.UTC().Format("15:04")
			if p.start.Name != fmt.Sprint("c-", p.at.Unix()/60) || len(p.start.OwnerReferences) != 1 {
				t.Errorf("%s: %+v", name, p.start)
			}
		}
		var active, events []string
		for _, r := range p.status.Active {
			active = append(active, r.Name)
		}
		for _, e := range p.events {
			events = append(events, e.reason)
		}
		if got := fmt.Sprintf("%s; %v; %v; %v; %v; %v", started, names(p.replace), names(p.forget), active, events, p.again); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestNewJob(t *testing.T) {
	t.Parallel()
	zone := "Europe/Berlin"
	c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}, Spec: batchv1.CronJobSpec{TimeZone: &zone,
		JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}}}}}
	j := newJob(c, created.Truncate(time.Minute))
	if j.Labels["a"] != "b" || j.Annotations["c"] != "d" || j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] != "2030-01-01T11:00:00+01:00" || j.Namespace != "ns" {
		t.Errorf("%+v", j)
	}
	if len(c.Spec.JobTemplate.Annotations) != 1 {
		t.Error("the template was changed")
	}
}
