package ttlafterfinished

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func TestLeft(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	hour := int32(3600)
	in := func(k batchv1.JobConditionType, status v1.ConditionStatus) batchv1.JobStatus {
		return batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: k, Status: status, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}}}
	}
	for name, c := range map[string]struct {
		ttl     *int32
		status  batchv1.JobStatus
		wait    time.Duration
		limited bool
	}{
		"complete":   {&hour, in(batchv1.JobComplete, v1.ConditionTrue), 59 * time.Minute, true},
		"failed":     {&hour, in(batchv1.JobFailed, v1.ConditionTrue), 59 * time.Minute, true},
		"at once":    {new(int32), in(batchv1.JobComplete, v1.ConditionTrue), -time.Minute, true},
		"no limit":   {nil, in(batchv1.JobComplete, v1.ConditionTrue), 0, false},
		"not failed": {&hour, in(batchv1.JobFailed, v1.ConditionFalse), 0, false},
		"suspended":  {&hour, in(batchv1.JobSuspended, v1.ConditionTrue), 0, false},
		"running":    {&hour, batchv1.JobStatus{}, 0, false},
	} {
		j := &batchv1.Job{Spec: batchv1.JobSpec{TTLSecondsAfterFinished: c.ttl}, Status: c.status}
		if wait, limited := left(j, now); wait != c.wait || limited != c.limited {
			t.Errorf("%s: %v %t", name, wait, limited)
		}
	}
}

func TestGoesWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	jobs := env.Admin.BatchV1().Jobs("default")
	hour := int32(3600)
	j, err := jobs.Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j"}, Spec: batchv1.JobSpec{TTLSecondsAfterFinished: &hour,
		Template: v1.PodTemplateSpec{Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "i"}}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	end := metav1.Now()
	j.Status.StartTime, j.Status.CompletionTime = &end, &end
	for _, k := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: k, Status: v1.ConditionTrue, LastTransitionTime: end})
	}
	if _, err := jobs.UpdateStatus(ctx, j, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakeClock(end.Time)
	controllertest.Run(t, env, clock, Definition())
	controllertest.Until(t, func() string {
		clock.Step(20 * time.Minute)
		j, err := jobs.Get(ctx, "j", metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && j.DeletionTimestamp != nil {
			if clock.Now().Before(end.Add(time.Hour)) {
				t.Fatal("it went too early")
			}
			return ""
		}
		return fmt.Sprintf("it is there: %v", err)
	})
}
