package disruption

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

var now = time.Unix(100_000, 0)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func TestDecide(t *testing.T) {
	t.Parallel()
	ready := func(name string) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.PodStatus{
			Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}}}
	}
	unready := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "unready"}}
	going := ready("going")
	going.DeletionTimestamp = &metav1.Time{Time: now}
	number := func(n int32) *intstr.IntOrString { v := intstr.FromInt32(n); return &v }
	percent := func(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }
	for name, c := range map[string]struct {
		min, max  *intstr.IntOrString
		pods      []*v1.Pod
		asked     int32
		disrupted map[string]metav1.Time
		want      string // healthy/desired/expected allowed disrupted again undeleted
	}{
		"at least":                   {min: number(2), pods: []*v1.Pod{ready("a"), ready("b"), ready("c"), unready}, want: "3/2/4 1 [] 0s 0"},
		"fewer than wanted":          {min: number(2), pods: []*v1.Pod{ready("a"), unready}, want: "1/2/2 0 [] 0s 0"},
		"no pods":                    {min: number(0), want: "0/0/0 0 [] 0s 0"},
		"no pods, of some asked":     {max: number(1), asked: 1, want: "0/0/1 0 [] 0s 0"},
		"half":                       {min: percent("50%"), pods: []*v1.Pod{ready("a"), ready("b"), ready("c")}, asked: 5, want: "3/3/5 0 [] 0s 0"},
		"at most":                    {max: number(1), pods: []*v1.Pod{ready("a"), ready("b"), ready("c")}, asked: 3, want: "3/2/3 1 [] 0s 0"},
		"at most a part, rounded up": {max: percent("30%"), pods: []*v1.Pod{ready("a"), ready("b"), ready("c")}, asked: 4, want: "3/2/4 1 [] 0s 0"},
		"at most more than asked":    {max: number(9), pods: []*v1.Pod{ready("a")}, asked: 1, want: "1/0/1 1 [] 0s 0"},
		"neither":                    {pods: []*v1.Pod{ready("a")}, want: "1/0/0 0 [] 0s 0"},
		"deleted":                    {min: number(0), pods: []*v1.Pod{ready("a"), going}, disrupted: map[string]metav1.Time{"going": ago(0)}, want: "1/0/2 1 [] 0s 0"},
		"about to be deleted": {min: number(1), pods: []*v1.Pod{ready("a"), ready("b")}, disrupted: map[string]metav1.Time{"a": ago(time.Minute), "gone": ago(0)},
			want: "1/1/2 0 [a] 1m0.001s 0"},
		"not deleted in time": {min: number(1), pods: []*v1.Pod{ready("a"), ready("b")}, disrupted: map[string]metav1.Time{"a": ago(deletionTimeout + time.Second)},
			want: "2/1/2 1 [] 0s 1"},
	} {
		b := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Generation: 3},
			Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: c.min, MaxUnavailable: c.max},
			Status:     policyv1.PodDisruptionBudgetStatus{DisruptedPods: c.disrupted},
		}
		p, err := decide(b, c.pods, c.asked, now)
		if err != nil || p.budget == nil {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		s := p.budget.Status
		var names []string
		for n := range s.DisruptedPods {
			names = append(names, n)
		}
		got := fmt.Sprintf("%d/%d/%d %d %v %v %d", s.CurrentHealthy, s.DesiredHealthy, s.ExpectedPods, s.DisruptionsAllowed, names, p.again, len(p.undeleted))
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		condition := meta.FindStatusCondition(s.Conditions, policyv1.DisruptionAllowedCondition)
		if s.ObservedGeneration != 3 || condition == nil || (condition.Status == metav1.ConditionTrue) != (s.DisruptionsAllowed > 0) {
			t.Errorf("%s: %+v", name, s)
		}
		if again, err := decide(p.budget, c.pods, c.asked, now); err != nil || again.budget != nil {
			t.Errorf("%s: what stands is written again: %+v, %v", name, again.budget, err)
		}
	}
}

// TestUncountable: a budget that cannot be counted allows nothing, and says so
// once.
func TestUncountable(t *testing.T) {
	t.Parallel()
	b := &policyv1.PodDisruptionBudget{Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 2}}
	next := failed(b, errors.New("no scale"))
	if next == nil || next.Status.DisruptionsAllowed != 0 || len(next.Status.Conditions) != 1 ||
		next.Status.Conditions[0].Reason != policyv1.SyncFailedReason || next.Status.Conditions[0].Message != "no scale" {
		t.Fatalf("%+v", next)
	}
	if again := failed(next, errors.New("no scale")); again != nil {
		t.Errorf("%+v", again)
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	condition := func(status v1.ConditionStatus, reason string, since metav1.Time) *v1.Pod {
		return &v1.Pod{Status: v1.PodStatus{Conditions: []v1.PodCondition{{Type: v1.DisruptionTarget, Status: status, Reason: reason, LastTransitionTime: since}}}}
	}
	deleted := condition(v1.ConditionTrue, "", ago(time.Hour))
	deleted.DeletionTimestamp = &metav1.Time{Time: now}
	finished := condition(v1.ConditionTrue, "", ago(time.Hour))
	finished.Status.Phase = v1.PodFailed
	for name, c := range map[string]struct {
		pod  *v1.Pod
		wait time.Duration
		has  bool
	}{
		"none":      {&v1.Pod{}, 0, false},
		"withdrawn": {condition(v1.ConditionFalse, "", ago(time.Hour)), 0, false},
		"fresh":     {condition(v1.ConditionTrue, "", ago(time.Minute)), time.Minute, true},
		"old":       {condition(v1.ConditionTrue, "", ago(time.Hour)), 0, true},
		"by a node": {condition(v1.ConditionTrue, v1.PodReasonTerminationByKubelet, ago(time.Hour)), 0, false},
		"deleted":   {deleted, 0, false},
		"finished":  {finished, 0, false},
	} {
		if wait, has := stale(c.pod, now); wait != c.wait || has != c.has {
			t.Errorf("%s: %v %v", name, wait, has)
		}
	}
}

// TestBudgetOfADeployment: a fraction is of what the deployment asks for, not
// of the pods that there are, and of other kinds with a scale likewise.
func TestBudgetOfADeployment(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	ctx := t.Context()
	labels := map[string]string{"app": "web"}
	template := v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "i"}}}}
	replicas := int32(4)
	d, err := env.Admin.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := env.Admin.AppsV1().ReplicaSets("default").Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}},
		Spec:       appsv1.ReplicaSetSpec{Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods := env.Admin.CoreV1().Pods("default")
	for _, name := range []string{"a", "b", "c"} {
		p, err := pods.Create(ctx, &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}},
			Spec:       template.Spec,
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue},
			{Type: v1.DisruptionTarget, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour))}}
		if _, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	half := intstr.FromString("50%")
	budgets := env.Admin.PolicyV1().PodDisruptionBudgets("default")
	if _, err := budgets.Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &half, Selector: &metav1.LabelSelector{MatchLabels: labels}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	is := func(want string) {
		t.Helper()
		controllertest.Until(t, func() string {
			b, err := budgets.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			got := fmt.Sprintf("%d/%d/%d %d", b.Status.CurrentHealthy, b.Status.DesiredHealthy, b.Status.ExpectedPods, b.Status.DisruptionsAllowed)
			if c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition); c != nil {
				got += " " + c.Reason
			}
			if got != want {
				return got + ", want " + want
			}
			return ""
		})
	}
	is("3/2/4 1 SufficientPods")
	controllertest.Until(t, func() string {
		p, err := pods.Get(ctx, "a", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, c := range p.Status.Conditions {
			if c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue {
				return "a pod that was not disrupted is still marked"
			}
		}
		return ""
	})
	// A daemon set has no scale: what its pods are a fraction of is not known.
	if _, err := pods.Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "d", Labels: labels, OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "DaemonSet", Name: "d", UID: "x", Controller: &[]bool{true}[0]}}},
		Spec: template.Spec,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	is("3/2/4 0 SyncFailed")
}
