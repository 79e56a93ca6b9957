package daemonset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

// TestRollsOverNodes: a daemon comes to each node that it is for, follows a
// change of its template node by node, and is replaced where it fails.
func TestRollsOverNodes(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	nodes, pods, sets := env.Admin.CoreV1().Nodes(), env.Admin.CoreV1().Pods("default"), env.Admin.AppsV1().DaemonSets("default")
	for _, n := range []*v1.Node{node("a"), node("b"), node("not", taint("k", v1.TaintEffectNoSchedule))} {
		n.Labels["on"] = "yes"
		if _, err := nodes.Create(ctx, n, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	labels := map[string]string{"app": "d"}
	ds, err := sets.Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "d"},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: v1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       v1.PodSpec{NodeSelector: map[string]string{"on": "yes"}, Containers: []v1.Container{{Name: "c", Image: "one"}}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// until waits for pods as "node image phase"; every pod becomes ready.
	until := func(want ...string) {
		t.Helper()
		controllertest.Until(t, func() string {
			list, err := pods.List(ctx, metav1.ListOptions{})
			if err != nil {
				return err.Error()
			}
			var got []string
			for _, p := range list.Items {
				got = append(got, target(&p)+" "+p.Spec.Containers[0].Image)
				if p.Status.Phase != v1.PodRunning {
					p.Status.Phase = v1.PodRunning
					p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
					if _, err := pods.UpdateStatus(ctx, &p, metav1.UpdateOptions{}); err != nil {
						return err.Error()
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				return fmt.Sprintf("%q, want %q", got, want)
			}
			return ""
		})
	}
	until("a one", "b one")
	if _, err := nodes.Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "c", Labels: map[string]string{"on": "yes"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("a one", "b one", "c one")
	if ds, err = sets.Patch(ctx, "d", "application/strategic-merge-patch+json", []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until("a two", "b two", "c two")
	controllertest.Until(t, func() string {
		is, err := sets.Get(ctx, "d", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		s := is.Status
		if s.ObservedGeneration != ds.Generation || s.DesiredNumberScheduled != 3 || s.UpdatedNumberScheduled != 3 || s.NumberAvailable != 3 || s.NumberUnavailable != 0 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	revisions, err := env.Admin.AppsV1().ControllerRevisions("default").List(ctx, metav1.ListOptions{})
	if err != nil || len(revisions.Items) != 2 {
		t.Fatalf("%+v %v", revisions, err)
	}
	for _, r := range revisions.Items {
		hash := r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
		if r.Name != "d-"+hash || !strings.HasPrefix(string(r.Data.Raw), `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"d"}},"spec":`) {
			t.Errorf("%s: %s", r.Name, r.Data.Raw)
		}
	}
	// What fails is replaced.
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bad := list.Items[0]
	bad.Status.Phase = v1.PodFailed
	if _, err := pods.UpdateStatus(ctx, &bad, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, func() string {
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for _, p := range list.Items {
			if p.UID == bad.UID || p.Spec.Tolerations == nil {
				return "the failed pod is still there"
			}
		}
		if len(list.Items) != 3 {
			return fmt.Sprintf("%d pods", len(list.Items))
		}
		return ""
	})
}
