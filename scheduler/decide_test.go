package scheduler

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

func testNode(name string, change ...func(*v1.Node)) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name}}}
	n.Status.Allocatable = v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("4Gi"), v1.ResourcePods: resource.MustParse("10"),
	}
	for _, f := range change {
		f(n)
	}
	return n
}

func testPod(name string, change ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	p.Spec.SchedulerName = DefaultName
	p.Spec.Containers = []v1.Container{{Name: "c", Image: "proa.local/hello:1"}}
	for _, f := range change {
		f(p)
	}
	return p
}

func requests(cpu, memory string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Requests = v1.ResourceList{
			v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory),
		}
	}
}

func hostPortOf(port int32, ip string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: port, HostPort: port, HostIP: ip, Protocol: v1.ProtocolTCP}}
	}
}

func taint(key, value string, effect v1.TaintEffect) func(*v1.Node) {
	return func(n *v1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, v1.Taint{Key: key, Value: value, Effect: effect})
	}
}

func mustShape(t testing.TB, p *v1.Pod) *shape {
	s, err := shapeOf(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecide(t *testing.T) {
	t.Parallel()
	label := func(k, v string) func(*v1.Node) { return func(n *v1.Node) { n.Labels[k] = v } }
	cordon := func(n *v1.Node) { n.Spec.Unschedulable = true }
	selector := func(k, v string) func(*v1.Pod) {
		return func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{k: v} }
	}
	for name, c := range map[string]struct {
		nodes   []*v1.Node
		running map[string][]*v1.Pod
		pod     *v1.Pod
		node    string
		message string
	}{
		"no nodes": {pod: testPod("p"), message: "no nodes available to schedule pods"},
		"fits":     {nodes: []*v1.Node{testNode("a")}, pod: testPod("p"), node: "a"},
		"too large": {
			nodes: []*v1.Node{testNode("a"), testNode("b")}, pod: testPod("p", requests("3", "5Gi")),
			message: "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.",
		},
		"too many pods": {
			nodes:   []*v1.Node{testNode("a", func(n *v1.Node) { n.Status.Allocatable[v1.ResourcePods] = resource.MustParse("1") })},
			running: map[string][]*v1.Pod{"a": {testPod("q")}}, pod: testPod("p"),
			message: "0/1 nodes are available: 1 Too many pods.",
		},
		"each node for its own reason": {
			nodes: []*v1.Node{
				testNode("a", cordon), testNode("b", taint("gpu", "yes", v1.TaintEffectNoSchedule)),
				testNode("c"), testNode("d", label("disk", "ssd")),
			},
			running: map[string][]*v1.Pod{"d": {testPod("q", requests("2", "1Gi"))}},
			pod:     testPod("p", selector("disk", "ssd"), requests("1", "1Gi")),
			message: "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, " +
				"1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
		},
		"tolerates the cordon": {
			nodes: []*v1.Node{testNode("a", cordon)}, node: "a",
			pod: testPod("p", func(p *v1.Pod) {
				p.Spec.Tolerations = []v1.Toleration{{Key: v1.TaintNodeUnschedulable, Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoSchedule}}
			}),
		},
		"host port taken on every address": {
			nodes: []*v1.Node{testNode("a")}, running: map[string][]*v1.Pod{"a": {testPod("q", hostPortOf(80, "127.0.0.1"))}},
			pod: testPod("p", hostPortOf(80, "")), message: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
		},
		"host port free on another address": {
			nodes: []*v1.Node{testNode("a")}, running: map[string][]*v1.Pod{"a": {testPod("q", hostPortOf(80, "127.0.0.1"))}},
			pod: testPod("p", hostPortOf(80, "127.0.0.2")), node: "a",
		},
		"least allocated": {
			nodes: []*v1.Node{testNode("a"), testNode("b")}, running: map[string][]*v1.Pod{"a": {testPod("q", requests("1", "2Gi"))}},
			pod: testPod("p", requests("100m", "100Mi")), node: "b",
		},
		"avoids a soft taint": {
			nodes: []*v1.Node{testNode("a", taint("soft", "", v1.TaintEffectPreferNoSchedule)), testNode("b")}, pod: testPod("p"), node: "b",
		},
		"prefers a label": {
			nodes: []*v1.Node{testNode("a"), testNode("b", label("zone", "x"))}, node: "b",
			pod: testPod("p", func(p *v1.Pod) {
				p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{
					{Weight: 10, Preference: v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{{Key: "zone", Operator: v1.NodeSelectorOpIn, Values: []string{"x"}}}}},
				}}}
			}),
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
			d := newDecider(1).decide(mustShape(t, c.pod), nil, s)
			if d.Node != c.node || d.Message != c.message {
				t.Errorf("got node %q, message %q; want %q, %q", d.Node, d.Message, c.node, c.message)
			}
		})
	}
}

// TestRememberedVerdicts: whatever happens to nodes and pods, a shape that
// remembers decides as one that has just been made.
func TestRememberedVerdicts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newNodes()
		pod := testPod("p", requests(rapid.SampledFrom([]string{"0", "500m", "1"}).Draw(t, "cpu"), "1Gi"), hostPortOf(80, ""))
		old, err := shapeOf(pod)
		if err != nil {
			t.Fatal(err)
		}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		uid := 0
		t.Repeat(map[string]func(*rapid.T){
			"node": func(t *rapid.T) { s.setNode(testNode(name.Draw(t, "node"))) },
			"cordon": func(t *rapid.T) {
				s.setNode(testNode(name.Draw(t, "node"), func(n *v1.Node) { n.Spec.Unschedulable = true }))
			},
			"soft taints": func(t *rapid.T) {
				var change []func(*v1.Node)
				for i := range rapid.IntRange(1, 3).Draw(t, "taints") {
					change = append(change, taint(fmt.Sprint("soft", i), "", v1.TaintEffectPreferNoSchedule))
				}
				s.setNode(testNode(name.Draw(t, "node"), change...))
			},
			"gone": func(t *rapid.T) { s.removeNode(name.Draw(t, "node")) },
			"place": func(t *rapid.T) {
				uid++
				change := []func(*v1.Pod){requests("700m", "1Gi")}
				if rapid.Bool().Draw(t, "port") {
					change = append(change, hostPortOf(80, "127.0.0.1"))
				}
				s.place(testPod(fmt.Sprint(uid), change...), name.Draw(t, "node"), rapid.Bool().Draw(t, "assumed"))
			},
			"remove": func(t *rapid.T) { s.remove(types.UID(fmt.Sprint(rapid.IntRange(0, uid).Draw(t, "pod")))) },
			"forget": func(t *rapid.T) { s.forget(types.UID(fmt.Sprint(rapid.IntRange(0, uid).Draw(t, "pod")))) },
			"": func(t *rapid.T) {
				fresh, err := shapeOf(pod)
				if err != nil {
					t.Fatal(err)
				}
				a, b := newDecider(7).decide(old, nil, s), newDecider(7).decide(fresh, nil, s)
				if a.Node != b.Node || a.Message != b.Message {
					t.Fatalf("remembered %+v, fresh %+v", a, b)
				}
				sameScores(t, old, s)
				ready := 0
				for i, n := range s.slots {
					var sum amounts
					for _, p := range n.pods {
						sum.add(&p.request, 1)
					}
					if sum.cpu != n.requested.cpu || sum.memory != n.requested.memory {
						t.Fatalf("slot %d counts %+v, its pods ask for %+v", i, n.requested, sum)
					}
					if n.api != nil {
						ready++
					}
				}
				if ready != s.ready {
					t.Fatalf("%d nodes are ready, %d counted", ready, s.ready)
				}
			},
		})
	})
}

// sameScores compares what the shape remembers with the obvious computation
// over all nodes.
func sameScores(t *rapid.T, s *shape, state *nodes) {
	d := newDecider(7)
	verdicts := make([]verdict, len(state.slots))
	var largest [maxScorers]int64
	for i, n := range state.slots {
		if n.api == nil {
			continue
		}
		d.judge(s, n, &verdicts[i])
		for k := range d.scorers {
			largest[k] = max(largest[k], verdicts[i].raw[k])
		}
	}
	for i, n := range state.slots {
		want := refused
		if n.api != nil && verdicts[i].refusedBy < 0 {
			want = 0
			for k, p := range d.scorers {
				want += p.Weight() * p.Normalize(verdicts[i].raw[k], largest[k])
			}
		}
		if s.scores[i] != want {
			t.Fatalf("slot %d has score %d, want %d", i, s.scores[i], want)
		}
	}
}

func BenchmarkDecide5000Nodes(b *testing.B) {
	s := newNodes()
	for i := range 5000 {
		s.setNode(testNode(fmt.Sprint("node-", i)))
	}
	sh, d := mustShape(b, testPod("p", requests("10m", "10Mi"))), newDecider(1)
	i := 0
	for b.Loop() {
		i++
		s.place(testPod(fmt.Sprint("p", i%20000), requests("10m", "10Mi")), d.decide(sh, nil, s).Node, true)
	}
}
