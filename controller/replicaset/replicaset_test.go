package replicaset

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

var labelled = metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}}

func template(image string) v1.PodTemplateSpec {
	return v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labelled.Labels}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: image}}}}
}

// makeReady makes the pods of the namespace ready that are not, and returns those
// that do not end as "own" or "orphan".
func makeReady(ctx context.Context, env *apitest.Env) (pods map[string]int, err error) {
	client := env.Admin.CoreV1().Pods("default")
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	pods = map[string]int{}
	for _, p := range list.Items {
		what := "orphan"
		if metav1.GetControllerOfNoCopy(&p) != nil {
			what = "own"
		}
		pods[what]++
		if p.Status.Phase == v1.PodRunning {
			continue
		}
		p.Status.Phase = v1.PodRunning
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
		if _, err := client.UpdateStatus(ctx, &p, metav1.UpdateOptions{}); err != nil {
			return nil, err
		}
	}
	return pods, nil
}

// until waits for the pods of the namespace and for what the set says of them.
func until(t *testing.T, env *apitest.Env, status func() (string, error), wantStatus, want string) {
	t.Helper()
	controllertest.Until(t, func() string {
		pods, err := makeReady(t.Context(), env)
		if err != nil {
			return err.Error()
		}
		s, err := status()
		if err != nil {
			return err.Error()
		}
		if got := fmt.Sprint(pods); got != want || s != wantStatus {
			return fmt.Sprintf("pods %s, status %s, want %s and %s", got, s, want, wantStatus)
		}
		return ""
	})
}

// A replica set adopts, makes and removes pods, and lets go of one that it does not
// select any more, whichever of its writes fails.
func TestReplicaSet(t *testing.T) {
	t.Parallel()
	controllertest.Sweep(t, func(t *testing.T, run controllertest.Runner) {
		env, ctx := apitest.Start(t), t.Context()
		sets, pods := env.Admin.AppsV1().ReplicaSets("default"), env.Admin.CoreV1().Pods("default")
		tmpl := template("one")
		if _, err := pods.Create(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "orphan", Labels: labelled.Labels}, Spec: tmpl.Spec}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		run(t, env, clock.RealClock{}, ReplicaSets())
		replicas := int32(3)
		if _, err := sets.Create(ctx, &appsv1.ReplicaSet{ObjectMeta: labelled, Spec: appsv1.ReplicaSetSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labelled.Labels}, Template: tmpl}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		status := func() (string, error) {
			rs, err := sets.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return "", err
			}
			s := rs.Status
			return fmt.Sprintf("%d/%d/%d %v of %d", s.Replicas, s.ReadyReplicas, s.AvailableReplicas, s.Conditions, s.ObservedGeneration), nil
		}
		until(t, env, status, "3/3/3 [] of 1", "map[own:3]")
		if _, err := pods.Patch(ctx, "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		until(t, env, status, "3/3/3 [] of 1", "map[orphan:1 own:3]")
		if _, err := sets.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		until(t, env, status, "1/1/1 [] of 2", "map[orphan:1 own:1]")
	})
}

// The same of a replication controller.
func TestReplicationController(t *testing.T) {
	t.Parallel()
	controllertest.Sweep(t, func(t *testing.T, run controllertest.Runner) {
		env, ctx := apitest.Start(t), t.Context()
		sets := env.Admin.CoreV1().ReplicationControllers("default")
		tmpl := template("one")
		run(t, env, clock.RealClock{}, ReplicationControllers())
		replicas := int32(2)
		if _, err := sets.Create(ctx, &v1.ReplicationController{ObjectMeta: labelled, Spec: v1.ReplicationControllerSpec{
			Replicas: &replicas, Selector: labelled.Labels, Template: &tmpl}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		status := func() (string, error) {
			rc, err := sets.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return "", err
			}
			s := rc.Status
			return fmt.Sprintf("%d/%d/%d %v of %d", s.Replicas, s.ReadyReplicas, s.AvailableReplicas, s.Conditions, s.ObservedGeneration), nil
		}
		until(t, env, status, "2/2/2 [] of 1", "map[own:2]")
		if _, err := sets.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		until(t, env, status, "1/1/1 [] of 2", "map[own:1]")
	})
}
