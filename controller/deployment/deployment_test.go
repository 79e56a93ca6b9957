package deployment

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/replicaset"
)

// A deployment rolls out, rolls on and shrinks, whichever write of its controllers
// fails.
func TestDeployment(t *testing.T) {
	t.Parallel()
	controllertest.Sweep(t, func(t *testing.T, run controllertest.Runner) {
		env, ctx := apitest.Start(t), t.Context()
		client, pods := env.Admin.AppsV1().Deployments("default"), env.Admin.CoreV1().Pods("default")
		run(t, env, clock.RealClock{}, Definition(), replicaset.ReplicaSets())
		labels := map[string]string{"app": "web"}
		replicas := int32(2)
		if _, err := client.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "one"}}}},
		}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		until := func(want string) {
			t.Helper()
			controllertest.Until(t, func() string {
				list, err := pods.List(ctx, metav1.ListOptions{})
				if err != nil {
					return err.Error()
				}
				images := map[string]int{}
				for _, p := range list.Items {
					images[p.Spec.Containers[0].Image]++
					if p.Status.Phase == v1.PodRunning {
						continue
					}
					p.Status.Phase, p.Status.Conditions = v1.PodRunning, []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
					if _, err := pods.UpdateStatus(ctx, &p, metav1.UpdateOptions{}); err != nil {
						return err.Error()
					}
				}
				d, err := client.Get(ctx, "web", metav1.GetOptions{})
				if err != nil {
					return err.Error()
				}
				s := d.Status
				got := fmt.Sprintf("%v: %d updated, %d available, revision %s", images, s.UpdatedReplicas, s.AvailableReplicas, d.Annotations["deployment.kubernetes.io/revision"])
				if got != want || s.ObservedGeneration != d.Generation {
					return fmt.Sprintf("%s of %d, want %s of %d", got, s.ObservedGeneration, want, d.Generation)
				}
				return ""
			})
		}
		patch := func(body string) {
			t.Helper()
			controllertest.Until(t, func() string {
				if _, err := client.Patch(ctx, "web", types.StrategicMergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
					return err.Error()
				}
				return ""
			})
		}
		until("map[one:2]: 2 updated, 2 available, revision 1")
		patch(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`)
		until("map[two:2]: 2 updated, 2 available, revision 2")
		patch(`{"spec":{"replicas":1}}`)
		until("map[two:1]: 1 updated, 1 available, revision 2")
	})
}
