package cronjob

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

// TestRunsOnTime: a job is made each minute, and noted; the next replaces it.
func TestRunsOnTime(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	crons, jobs := env.Admin.BatchV1().CronJobs("default"), env.Admin.BatchV1().Jobs("default")
	c, err := crons.Create(ctx, &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ReplaceConcurrent,
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: v1.PodTemplateSpec{
			Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "i"}}}}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakeClock(c.CreationTimestamp.Time)
	controllertest.Run(t, env, clock, Definition())
	seen := map[string]bool{}
	controllertest.Until(t, func() string {
		clock.Step(5 * time.Second)
		list, err := jobs.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		live := 0
		for _, j := range list.Items {
			seen[j.Name] = true
			if j.DeletionTimestamp == nil {
				live++
			}
			if !metav1.IsControlledBy(&j, c) {
				t.Fatalf("%+v", j.OwnerReferences)
			}
		}
		if live > 1 {
			t.Fatalf("%d jobs at once", live)
		}
		is, err := crons.Get(ctx, "c", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if len(seen) < 3 || len(is.Status.Active) != 1 || is.Status.LastScheduleTime == nil {
			return fmt.Sprintf("%v, %+v", seen, is.Status)
		}
		return ""
	})
}
