package tainteviction

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	taint := func(key string, ago time.Duration) v1.Taint {
		return v1.Taint{Key: key, Effect: v1.TaintEffectNoExecute, TimeAdded: &metav1.Time{Time: now.Add(-ago)}}
	}
	unknown := v1.Taint{Key: "a", Effect: v1.TaintEffectNoExecute}
	forever := func(key string) v1.Toleration { return v1.Toleration{Key: key, Operator: v1.TolerationOpExists} }
	limited := func(key string, seconds int64) v1.Toleration {
		x := forever(key)
		x.TolerationSeconds = ptr.To(seconds)
		return x
	}
	for name, tt := range map[string]struct {
		taints       []v1.Taint
		tolerations  []v1.Toleration
		since, begun time.Duration // ago
		leave        bool
		in           time.Duration
	}{
		"no taints":                    {tolerations: []v1.Toleration{limited("a", 1)}},
		"not tolerated":                {taints: []v1.Taint{taint("a", 0)}, leave: true},
		"tolerated for ever":           {taints: []v1.Taint{taint("a", time.Hour)}, tolerations: []v1.Toleration{forever("a")}, since: time.Hour},
		"tolerated for a while":        {taints: []v1.Taint{taint("a", 10*time.Second)}, tolerations: []v1.Toleration{limited("a", 30)}, since: time.Hour, leave: true, in: 20 * time.Second},
		"over":                         {taints: []v1.Taint{taint("a", time.Minute)}, tolerations: []v1.Toleration{limited("a", 30)}, since: time.Hour, leave: true},
		"came after the taint":         {taints: []v1.Taint{taint("a", time.Hour)}, tolerations: []v1.Toleration{limited("a", 30)}, since: 10 * time.Second, leave: true, in: 20 * time.Second},
		"taint of unknown age":         {taints: []v1.Taint{unknown}, tolerations: []v1.Toleration{limited("a", 30)}, since: time.Hour, begun: 10 * time.Second, leave: true, in: 20 * time.Second},
		"taint of unknown age, over":   {taints: []v1.Taint{unknown}, tolerations: []v1.Toleration{limited("a", 30)}, since: time.Hour, begun: 30 * time.Second, leave: true},
		"the shortest counts":          {taints: []v1.Taint{taint("a", 0), taint("b", 0)}, tolerations: []v1.Toleration{limited("a", 30), limited("b", 20)}, since: time.Hour, leave: true, in: 20 * time.Second},
		"one of two is not tolerated":  {taints: []v1.Taint{taint("a", 0), taint("b", 0)}, tolerations: []v1.Toleration{forever("a")}, leave: true},
		"one for ever, one for a time": {taints: []v1.Taint{taint("a", 0), taint("b", 0)}, tolerations: []v1.Toleration{forever("a"), limited("b", 20)}, since: time.Hour, leave: true, in: 20 * time.Second},
		"less than nothing":            {taints: []v1.Taint{taint("a", 0)}, tolerations: []v1.Toleration{limited("a", -5)}, leave: true},
		"everything":                   {taints: []v1.Taint{taint("a", 0), taint("b", 0)}, tolerations: []v1.Toleration{{Operator: v1.TolerationOpExists}}},
	} {
		leave, in := decide(tt.taints, tt.tolerations, now.Add(-tt.since), now.Add(-tt.begun), now)
		if leave != tt.leave || in != tt.in {
			t.Errorf("%s: %v in %v, want %v in %v", name, leave, in, tt.leave, tt.in)
		}
	}
}

// A pod leaves a node that is tainted by hand, which says no time, when what it
// tolerates is over; another stays; one that tolerates nothing goes at once.
func TestEvict(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	clock := testingclock.NewFakeClock(time.Now())
	controllertest.Run(t, env, clock, Definition())
	core := env.Admin.CoreV1()
	if _, err := core.Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, tolerations := range map[string][]v1.Toleration{
		"stays": {{Key: "k", Operator: v1.TolerationOpExists}},
		"later": {{Key: "k", Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute, TolerationSeconds: ptr.To(int64(60))}},
		"goes":  nil,
	} {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"example.org/hold"}}, Spec: v1.PodSpec{
			NodeName: "node", Tolerations: tolerations, Containers: []v1.Container{{Name: "c", Image: "i"}}, TerminationGracePeriodSeconds: ptr.To(int64(0)),
		}}
		if _, err := core.Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := core.Nodes().Patch(t.Context(), "node", types.MergePatchType, []byte(`{"spec":{"taints":[{"key":"k","effect":"NoExecute"}]}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	deleted := func(name string) bool {
		t.Helper()
		p, err := core.Pods("default").Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.DeletionTimestamp != nil && (len(p.Status.Conditions) == 0 || p.Status.Conditions[len(p.Status.Conditions)-1].Reason != "DeletionByTaintManager") {
			t.Errorf("%s is not told why it goes: %v", name, p.Status.Conditions)
		}
		return p.DeletionTimestamp != nil
	}
	until := func(name string) {
		t.Helper()
		controllertest.Until(t, func() string {
			if !deleted(name) {
				return name + " is not deleted"
			}
			return ""
		})
	}
	until("goes")
	controllertest.Until(t, func() string {
		if !clock.HasWaiters() {
			return "nobody waits for the end of the toleration"
		}
		return ""
	})
	if deleted("later") {
		t.Error("a pod is deleted before its time")
	}
	controllertest.Until(t, func() string {
		clock.Step(61 * time.Second) // again, where the pod was looked at later
		if !deleted("later") {
			return "later is not deleted"
		}
		return ""
	})
	if deleted("stays") {
		t.Error("a pod that tolerates the taint is deleted")
	}
}
