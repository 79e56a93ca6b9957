package job

import (
	"fmt"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

// TestLifeOfAJob: every index is worked on, failures are made good, each pod is
// counted once and none is left behind with a finalizer.
func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	pods, jobs := env.Admin.CoreV1().Pods("default"), env.Admin.BatchV1().Jobs("default")
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	mode, two, five := batchv1.IndexedCompletion, int32(2), int32(5)
	if _, err := jobs.Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "j"},
		Spec: batchv1.JobSpec{CompletionMode: &mode, Parallelism: &two, Completions: &five, Template: v1.PodTemplateSpec{
			Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "i"}}}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	failedOnce := false
	var is *batchv1.Job
	controllertest.Until(t, func() string {
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		active := 0
		for _, p := range list.Items {
			if p.Status.Phase != v1.PodPending {
				continue
			}
			if active++; active > 2 {
				t.Fatalf("%d pods at once", active)
			}
			// Long ago, so that it is not waited for.
			end := v1.ContainerStateTerminated{FinishedAt: metav1.NewTime(time.Now().Add(-time.Hour))}
			p.Status.Phase = v1.PodSucceeded
			if indexOf(&p) == 3 && !failedOnce {
				p.Status.Phase, end.ExitCode, failedOnce = v1.PodFailed, 1, true
			}
			p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", State: v1.ContainerState{Terminated: &end}}}
			if _, err := pods.UpdateStatus(ctx, &p, metav1.UpdateOptions{}); err != nil {
				return err.Error()
			}
		}
		if is, err = jobs.Get(ctx, "j", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		if finished(is) == nil {
			return fmt.Sprintf("%+v", is.Status)
		}
		return ""
	})
	s := is.Status
	if s.Succeeded != 5 || s.Failed != 1 || s.CompletedIndexes != "0-4" || s.Active != 0 || s.CompletionTime == nil || finished(is).Type != batchv1.JobComplete {
		t.Errorf("%+v", s)
	}
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 6 {
		t.Fatalf("%d pods, %v", len(list.Items), err)
	}
	for _, p := range list.Items {
		if tracked(&p) || p.Spec.Hostname != fmt.Sprint("j-", indexOf(&p)) || p.Labels[batchv1.JobNameLabel] != "j" {
			t.Errorf("%+v", p.ObjectMeta)
		}
	}
}

// TestOrphansAreReleased: pods of a job that is gone do not keep their
// finalizers, and pods of a job that was deleted go.
func TestOrphansAreReleased(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	pods, jobs := env.Admin.CoreV1().Pods("default"), env.Admin.BatchV1().Jobs("default")
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	if _, err := jobs.Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "j"},
		Spec: batchv1.JobSpec{Template: v1.PodTemplateSpec{
			Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "i"}}}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	all := func(is func(p *v1.Pod) bool) func() string {
		return func() string {
			list, err := pods.List(ctx, metav1.ListOptions{})
			if err != nil {
				return err.Error()
			}
			if len(list.Items) != 1 || !is(&list.Items[0]) {
				return fmt.Sprintf("%+v", list.Items)
			}
			return ""
		}
	}
	controllertest.Until(t, all(tracked))
	background := metav1.DeletePropagationBackground
	if err := jobs.Delete(ctx, "j", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, all(func(p *v1.Pod) bool { return !slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }))
}
