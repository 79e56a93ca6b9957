package simulate

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// What a user has at most of each, but for jobs, of which each has a name of its
// own.
const (
	setOfUser    = "db"
	daemonOfUser = "agent"
)

// modest asks for nothing, so that it fits wherever there is room for a pod.
func modest(labels map[string]string) v1.PodTemplateSpec {
	return v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: v1.PodSpec{
		Containers: []v1.Container{{Name: "main", Image: "proa.local/hello:1"}},
	}}
}

func (u *user) createStatefulSet(ctx context.Context) {
	labels := map[string]string{"app": setOfUser}
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: setOfUser}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(int32(u.random.IntN(4))), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: modest(labels),
	}}
	if u.random.IntN(2) == 0 {
		s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
	}
	got, err := u.client.AppsV1().StatefulSets(u.space).Create(ctx, s, metav1.CreateOptions{})
	u.wrote(statefulResource, got, err)
}

// changeStatefulSet scales or rolls the user's set.
func (u *user) changeStatefulSet(ctx context.Context) {
	sets := u.client.AppsV1().StatefulSets(u.space)
	s, err := sets.Get(ctx, setOfUser, metav1.GetOptions{})
	if err != nil {
		return
	}
	if u.random.IntN(2) == 0 {
		s.Spec.Replicas = ptr.To(int32(u.random.IntN(4)))
	} else {
		s.Spec.Template.Spec.Containers[0].Env = []v1.EnvVar{{Name: "VERSION", Value: fmt.Sprint(u.random.IntN(4))}}
	}
	got, err := sets.Update(ctx, s, metav1.UpdateOptions{})
	u.wrote(statefulResource, got, err)
}

func (u *user) deleteStatefulSet(ctx context.Context) {
	_ = u.client.AppsV1().StatefulSets(u.space).Delete(ctx, setOfUser, u.anyhow())
}

// anyhow is a deletion in the background or the foreground.
func (u *user) anyhow() metav1.DeleteOptions {
	policies := []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground}
	return metav1.DeleteOptions{PropagationPolicy: &policies[u.random.IntN(2)]}
}

// toggleDaemonSet makes the user's daemon set, changes it or deletes it.
func (u *user) toggleDaemonSet(ctx context.Context) {
	daemons := u.client.AppsV1().DaemonSets(u.space)
	d, err := daemons.Get(ctx, daemonOfUser, metav1.GetOptions{})
	switch {
	case err != nil:
		labels := map[string]string{"app": daemonOfUser}
		d = &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: daemonOfUser}, Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: modest(labels),
		}}
		d, err = daemons.Create(ctx, d, metav1.CreateOptions{})
		u.wrote(daemonsResource, d, err)
	case u.random.IntN(2) == 0:
		d.Spec.Template.Spec.Containers[0].Env = []v1.EnvVar{{Name: "VERSION", Value: fmt.Sprint(u.random.IntN(4))}}
		d, err = daemons.Update(ctx, d, metav1.UpdateOptions{})
		u.wrote(daemonsResource, d, err)
	default:
		_ = daemons.Delete(ctx, daemonOfUser, u.anyhow())
	}
}

func (u *user) createJob(ctx context.Context) {
	u.jobs++
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("job-%d", u.jobs)}, Spec: batchv1.JobSpec{
		Completions: ptr.To(int32(1 + u.random.IntN(4))), Parallelism: ptr.To(int32(1 + u.random.IntN(3))), Template: modest(nil),
	}}
	j.Spec.Template.Spec.RestartPolicy = v1.RestartPolicyNever
	if u.random.IntN(2) == 0 {
		j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}
	if u.random.IntN(3) == 0 {
		j.Spec.TTLSecondsAfterFinished = ptr.To(int32(u.random.IntN(60)))
	}
	got, err := u.client.BatchV1().Jobs(u.space).Create(ctx, j, metav1.CreateOptions{})
	u.wrote(jobsResource, got, err)
}

func (u *user) deleteJob(ctx context.Context) {
	if u.jobs > 0 {
		_ = u.client.BatchV1().Jobs(u.space).Delete(ctx, fmt.Sprintf("job-%d", 1+u.random.IntN(u.jobs)), u.anyhow())
	}
}
