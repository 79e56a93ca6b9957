package podgc

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	begin := time.Unix(10_000, 0)
	exists := func(node string) bool { return node == "here" }
	pods := []*v1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Name: "here"}, Spec: v1.PodSpec{NodeName: "here"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "lost"}, Spec: v1.PodSpec{NodeName: "gone"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "waits"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "never scheduled", DeletionTimestamp: &metav1.Time{Time: begin}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "done"}, Status: v1.PodStatus{Phase: v1.PodSucceeded}},
	}
	missing := map[string]time.Time{}
	names := func(list []doomed) (out []string) {
		for _, d := range list {
			out = append(out, d.pod.Name)
		}
		return out
	}
	got, again := decide(pods, exists, missing, begin)
	if fmt.Sprint(names(got)) != "[never scheduled]" || again != nodeGone {
		t.Errorf("at first %v, again in %v", names(got), again)
	}
	if got, again = decide(pods, exists, missing, begin.Add(nodeGone-time.Second)); len(got) != 1 || again != time.Second {
		t.Errorf("before the node has been gone for long: %v, again in %v", names(got), again)
	}
	got, again = decide(pods, exists, missing, begin.Add(nodeGone))
	if fmt.Sprint(names(got)) != "[lost never scheduled]" || again != sweepEvery || got[0].condition == nil || got[0].condition.Reason != "DeletionByPodGC" {
		t.Errorf("later %v, again in %v", names(got), again)
	}
	// A node that came back begins anew.
	decide(pods, func(string) bool { return true }, missing, begin.Add(nodeGone))
	if got, _ = decide(pods, exists, missing, begin.Add(2*nodeGone)); len(got) != 1 {
		t.Errorf("a node that was back: %v", names(got))
	}
}

func TestDecideFinished(t *testing.T) {
	t.Parallel()
	var pods []*v1.Pod
	for i := range maxFinished + 3 {
		pods = append(pods, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), CreationTimestamp: metav1.NewTime(time.Unix(int64(100_000-i), 0))},
			Status: v1.PodStatus{Phase: v1.PodFailed}})
	}
	got, _ := decide(pods, func(string) bool { return true }, map[string]time.Time{}, time.Unix(200_000, 0))
	if len(got) != 3 {
		t.Fatalf("%d go", len(got))
	}
	for i, d := range got {
		if want := fmt.Sprint(maxFinished + 2 - i); d.pod.Name != want {
			t.Errorf("%s goes, and not the oldest, %s", d.pod.Name, want)
		}
	}
}

// The pods of a node that is gone fail and go; those of a node that is there
// stay.
func TestNodeGone(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	core := env.Admin.CoreV1()
	for _, node := range []string{"here", "gone"} {
		if _, err := core.Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := core.Pods("default").Create(t.Context(), &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: node, Finalizers: []string{"example.org/hold"}},
			Spec: v1.PodSpec{NodeName: node, Containers: []v1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	clock := testingclock.NewFakeClock(time.Now())
	controllertest.Run(t, env, clock, Definition())
	if err := core.Nodes().Delete(t.Context(), "gone", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, func() string {
		clock.Step(nodeGone)
		p, err := core.Pods("default").Get(t.Context(), "gone", metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err.Error()
		}
		if p.Status.Phase != v1.PodFailed || p.DeletionTimestamp == nil {
			return fmt.Sprintf("the pod is there: %+v", p.Status)
		}
		return ""
	})
	if p, err := core.Pods("default").Get(t.Context(), "here", metav1.GetOptions{}); err != nil || p.DeletionTimestamp != nil {
		t.Errorf("the other pod: %v", err)
	}
}
