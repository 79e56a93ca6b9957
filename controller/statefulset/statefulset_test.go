package statefulset

import (
	"context"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

// TestLifeOfASet: pods come in order with their claims, follow the template
// from the top, go back with it, and are scaled away from the top.
func TestLifeOfASet(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	pods, sets := env.Admin.CoreV1().Pods("default"), env.Admin.AppsV1().StatefulSets("default")
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	labels := map[string]string{"app": "web"}
	three := int32(3)
	if _, err := sets.Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &three, ServiceName: "web", Selector: &metav1.LabelSelector{MatchLabels: labels},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenScaled: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType},
			Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "one"}}}},
			VolumeClaimTemplates: []v1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: v1.PersistentVolumeClaimSpec{
				AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
				Resources:   v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}}}}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch := func(body string) {
		t.Helper()
		if _, err := sets.Patch(ctx, "web", types.StrategicMergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// until waits for pods as "name image". Whatever is there becomes ready, one
	// after the other, or is gone; what is made before its turn is a failure.
	until := func(want ...string) {
		t.Helper()
		controllertest.Until(t, func() string {
			list, err := pods.List(ctx, metav1.ListOptions{})
			if err != nil {
				return err.Error()
			}
			var got []string
			unready := 0
			for _, p := range list.Items {
				got = append(got, p.Name+" "+p.Spec.Containers[0].Image)
				if p.Status.Phase == v1.PodRunning {
					continue
				}
				if unready++; unready > 1 {
					t.Fatalf("%s was made before its predecessor was ready: %q", p.Name, got)
				}
				if err := run(ctx, env, &p); err != nil {
					return err.Error()
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				return fmt.Sprintf("%q, want %q", got, want)
			}
			return ""
		})
	}
	until("web-0 one", "web-1 one", "web-2 one")
	patch(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`)
	until("web-0 two", "web-1 two", "web-2 two")
	patch(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"one"}]}}}}`)
	until("web-0 one", "web-1 one", "web-2 one")
	var set *appsv1.StatefulSet
	controllertest.Until(t, func() (why string) {
		var err error
		if set, err = sets.Get(ctx, "web", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		s := set.Status
		if s.ObservedGeneration != set.Generation || s.UpdatedReplicas != 3 || s.AvailableReplicas != 3 || s.CurrentReplicas != 3 || s.CurrentRevision != s.UpdateRevision {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	revisions, err := env.Admin.AppsV1().ControllerRevisions("default").List(ctx, metav1.ListOptions{})
	if err != nil || len(revisions.Items) != 2 {
		t.Fatalf("%+v, %v", revisions, err)
	}
	for _, r := range revisions.Items {
		if r.Name != "web-"+r.Labels[hashLabel] || (r.Name == set.Status.UpdateRevision) != (r.Revision == 3) {
			t.Errorf("%s, revision %d, labels %v", r.Name, r.Revision, r.Labels)
		}
	}
	// What is scaled away owns its claim, which goes with it.
	patch(`{"spec":{"replicas":1}}`)
	until("web-0 one")
	claims := env.Admin.CoreV1().PersistentVolumeClaims("default")
	for _, n := range []int{0, 1, 2} {
		c, err := claims.Get(ctx, fmt.Sprintf("data-web-%d", n), metav1.GetOptions{})
		if err != nil || (n == 0) != (len(c.OwnerReferences) == 0) || n > 0 && c.OwnerReferences[0].Kind != "Pod" {
			t.Errorf("claim %d: %+v, %v", n, c.OwnerReferences, err)
		}
	}
}

// run makes a pod ready, unless it has just gone.
func run(ctx context.Context, env *apitest.Env, p *v1.Pod) error {
	p.Status.Phase = v1.PodRunning
	p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
	_, err := env.Admin.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}
