package scheduler

import (
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// running is a placed pod of some cores, that began at a second.
func running(name string, prio int32, cpu string, began int64, change ...func(*v1.Pod)) *v1.Pod {
	return testPod(name, append(change, requests(cpu, "1Mi"), priority(prio), func(p *v1.Pod) {
		t := metav1.Unix(began, 0)
		p.Status.StartTime = &t
	})...)
}

func budget(app string, allowed int32) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app}}
	b.Spec.Selector = selecting("app", app)
	b.Status.DisruptionsAllowed = allowed
	return b
}

func namesOf(pods []*v1.Pod) []string {
	out := []string{}
	for _, p := range pods {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}

func TestPreempt(t *testing.T) {
	t.Parallel()
	cordoned := func(n *v1.Node) { n.Spec.Unschedulable = true }
	for name, c := range map[string]struct {
		nodes   []*v1.Node // of two cores each
		running map[string][]*v1.Pod
		budgets []*policyv1.PodDisruptionBudget
		pod     *v1.Pod
		node    string
		victims []string
		message string
	}{
		"no more than it takes, the least important": {
			nodes:   []*v1.Node{testNode("a")},
			running: map[string][]*v1.Pod{"a": {running("one", 1, "1", 1), running("two", 2, "1", 1)}},
			pod:     testPod("p", priority(9), requests("1", "1Mi")), node: "a", victims: []string{"one"},
		},
		"of equals, who began last": {
			nodes:   []*v1.Node{testNode("a")},
			running: map[string][]*v1.Pod{"a": {running("old", 1, "1", 1), running("young", 1, "1", 2)}},
			pod:     testPod("p", priority(9), requests("1", "1Mi")), node: "a", victims: []string{"young"},
		},
		"where the victims matter least": {
			nodes:   []*v1.Node{testNode("a"), testNode("b")},
			running: map[string][]*v1.Pod{"a": {running("five", 5, "2", 1)}, "b": {running("one", 1, "1", 1), running("three", 3, "1", 1)}},
			pod:     testPod("p", priority(9), requests("2", "1Mi")), node: "b", victims: []string{"one", "three"},
		},
		"where the fewest have to go": {
			nodes:   []*v1.Node{testNode("a"), testNode("b")},
			running: map[string][]*v1.Pod{"a": {running("a1", 1, "1", 1), running("a2", 1, "1", 1)}, "b": {running("b1", 1, "2", 1)}},
			pod:     testPod("p", priority(9), requests("2", "1Mi")), node: "b", victims: []string{"b1"},
		},
		"where they have run for the shortest time": {
			nodes:   []*v1.Node{testNode("a"), testNode("b")},
			running: map[string][]*v1.Pod{"a": {running("a1", 1, "2", 9)}, "b": {running("b1", 1, "2", 1)}},
			pod:     testPod("p", priority(9), requests("2", "1Mi")), node: "a", victims: []string{"a1"},
		},
		"not who a budget protects, while there are others": {
			nodes:   []*v1.Node{testNode("a"), testNode("b")},
			running: map[string][]*v1.Pod{"a": {running("guarded", 1, "2", 9, podLabel("app", "guarded"))}, "b": {running("b1", 5, "2", 1)}},
			budgets: []*policyv1.PodDisruptionBudget{budget("guarded", 0)},
			pod:     testPod("p", priority(9), requests("2", "1Mi")), node: "b", victims: []string{"b1"},
		},
		"who a budget protects, where there is no other": {
			nodes:   []*v1.Node{testNode("a")},
			running: map[string][]*v1.Pod{"a": {running("guarded", 1, "2", 9, podLabel("app", "guarded"))}},
			budgets: []*policyv1.PodDisruptionBudget{budget("guarded", 0)},
			pod:     testPod("p", priority(9), requests("2", "1Mi")), node: "a", victims: []string{"guarded"},
		},
		"a budget allows one": {
			nodes:   []*v1.Node{testNode("a")},
			running: map[string][]*v1.Pod{"a": {running("g1", 1, "1", 1, podLabel("app", "g")), running("g2", 1, "1", 2, podLabel("app", "g"))}},
			budgets: []*policyv1.PodDisruptionBudget{budget("g", 1)},
			// The more important is counted first, so the other would be too many, and
			// is spared first.
			pod: testPod("p", priority(9), requests("1", "1Mi")), node: "a", victims: []string{"g1"},
		},
		"nobody is less important": {
			nodes:   []*v1.Node{testNode("a"), testNode("b", cordoned)},
			running: map[string][]*v1.Pod{"a": {running("one", 9, "2", 1)}},
			pod:     testPod("p", priority(9), requests("1", "1Mi")),
			message: "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
		},
		"not even all of them": {
			nodes:   []*v1.Node{testNode("a"), testNode("b")},
			running: map[string][]*v1.Pod{"a": {running("one", 1, "1", 1), running("nine", 9, "1", 1)}, "b": {running("ten", 10, "2", 1)}},
			pod:     testPod("p", priority(9), requests("2", "1Mi")),
			message: "0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod.",
		},
		"larger than the node": {
			nodes:   []*v1.Node{testNode("a")},
			running: map[string][]*v1.Pod{"a": {running("one", 1, "1", 1)}},
			pod:     testPod("p", priority(9), requests("3", "1Mi")),
			message: "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
		"whose presence it cannot bear": {
			nodes:   []*v1.Node{testNode("a")},
			running: map[string][]*v1.Pod{"a": {running("web", 1, "1", 1, podLabel("app", "web")), running("other", 1, "500m", 1)}},
			pod:     testPod("p", priority(9), away(appTerm("web", v1.LabelHostname))), node: "a", victims: []string{"web"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNodes()
			for _, n := range c.nodes {
				s.setNode(n)
			}
			for node, pods := range c.running {
				for _, p := range pods {
					s.place(p, node, false)
				}
			}
			d, sh := newDecider(1), mustShape(t, c.pod)
			r, err := relationOf(sh, c.pod, s)
			if err != nil {
				t.Fatal(err)
			}
			decision := d.decide(sh, r, s)
			if decision.Node != "" {
				t.Fatalf("it fits on %s", decision.Node)
			}
			got, message := d.preempt(c.pod, sh, decision.curable, s, c.budgets)
			if got == nil {
				got = &preemption{}
			}
			if want := append([]string{}, c.victims...); got.node != c.node || message != c.message || !slices.Equal(namesOf(got.victims), want) {
				t.Errorf("%s from %q, %q; want %s from %q, %q", namesOf(got.victims), got.node, message, want, c.node, c.message)
			}
		})
	}
}

func TestIneligible(t *testing.T) {
	t.Parallel()
	never := v1.PreemptNever
	leaving := func(prio int32, reason string) *node {
		now := metav1.Now()
		p := running("v", prio, "1", 1, func(p *v1.Pod) {
			p.DeletionTimestamp = &now
			p.Status.Conditions = []v1.PodCondition{{Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: reason}}
		})
		return &node{pods: map[types.UID]*placed{"v": {pod: p}}}
	}
	for name, c := range map[string]struct {
		pod       *v1.Pod
		nominated *node
		curable   bool
		want      string
	}{
		"never":                     {pod: testPod("p", func(p *v1.Pod) { p.Spec.PreemptionPolicy = &never }), want: neverPreempts},
		"first time":                {pod: testPod("p", priority(9))},
		"its victim is leaving":     {pod: testPod("p", priority(9)), nominated: leaving(1, v1.PodReasonPreemptionByScheduler), curable: true, want: stillLeaving},
		"somebody is leaving":       {pod: testPod("p", priority(9)), nominated: leaving(1, "other"), curable: true},
		"a more important leaves":   {pod: testPod("p", priority(9)), nominated: leaving(10, v1.PodReasonPreemptionByScheduler), curable: true},
		"the node has become unfit": {pod: testPod("p", priority(9)), nominated: leaving(1, v1.PodReasonPreemptionByScheduler)},
	} {
		if got := ineligible(c.pod, c.nominated, c.curable); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPreemptLeavesNoTrace: working out victims changes nothing, makes room, and takes
// nobody who is as important or need not go.
func TestPreemptLeavesNoTrace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, d := newNodes(), newDecider(1)
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			s.setNode(testNode(fmt.Sprint("n", i)))
		}
		for i := range rapid.IntRange(0, 12).Draw(t, "pods") {
			p := running(fmt.Sprint(i), int32(rapid.IntRange(0, 3).Draw(t, "priority")), rapid.SampledFrom([]string{"500m", "1"}).Draw(t, "cpu"), int64(i), podLabel("app", "a"))
			if rapid.Bool().Draw(t, "shy") {
				away(appTerm("new", v1.LabelHostname))(p)
			}
			s.place(p, s.slots[rapid.IntRange(0, len(s.slots)-1).Draw(t, "on")].api.Name, false)
		}
		pod := testPod("p", priority(2), podLabel("app", "new"), requests("2", "1Mi"))
		sh, err := shapeOf(pod)
		if err != nil {
			t.Fatal(err)
		}
		r, err := relationOf(sh, pod, s)
		if err != nil {
			t.Fatal(err)
		}
		decision := d.decide(sh, r, s)
		if decision.Node != "" {
			return
		}
		before := picture(s)
		got, _ := d.preempt(pod, sh, decision.curable, s, nil)
		if after := picture(s); after != before {
			t.Fatalf("before:\n%s\nafter:\n%s", before, after)
		}
		if got == nil {
			return
		}
		for _, v := range got.victims {
			if priorityOf(v) >= 2 {
				t.Fatalf("%s is as important", v.Name)
			}
			s.remove(v.UID)
		}
		slot := s.slot[got.node]
		if why := d.refusals(pod, sh, slot, s); len(why) > 0 {
			t.Fatalf("without the victims: %v", why)
		}
		for _, v := range got.victims {
			s.place(v, got.node, false)
			if len(d.refusals(pod, sh, slot, s)) == 0 {
				t.Fatalf("%s need not have gone", v.Name)
			}
			s.remove(v.UID)
		}
	})
}

// picture is all that is counted.
func picture(s *nodes) (out string) {
	for _, n := range s.slots {
		out += fmt.Sprintf("%s %d cpu %v ports, %d pods\n", n.api.Name, n.requested.cpu, n.ports, len(n.pods))
	}
	ids := []string{}
	for id, c := range s.tallies.carried {
		ids = append(ids, fmt.Sprintf("%q %v", id.selection, c.at))
	}
	slices.Sort(ids)
	return out + fmt.Sprint(ids, s.priorities)
}
