package scheduler

import (
	"fmt"
	"math"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

func nodeLabel(k, v string) func(*v1.Node) { return func(n *v1.Node) { n.Labels[k] = v } }

func podLabel(k, v string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Labels = map[string]string{k: v} }
}

func selecting(k, v string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}
}

func near(terms ...v1.PodAffinityTerm) func(*v1.Pod) {
	return func(p *v1.Pod) {
		affinityIn(p).PodAffinity = &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}
	}
}

func away(terms ...v1.PodAffinityTerm) func(*v1.Pod) {
	return func(p *v1.Pod) {
		affinityIn(p).PodAntiAffinity = &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}
	}
}

func affinityIn(p *v1.Pod) *v1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &v1.Affinity{}
	}
	return p.Spec.Affinity
}

func spreadBy(key string, skew int32, when v1.UnsatisfiableConstraintAction, app string, change ...func(*v1.TopologySpreadConstraint)) func(*v1.Pod) {
	c := v1.TopologySpreadConstraint{MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: when, LabelSelector: selecting("app", app)}
	for _, f := range change {
		f(&c)
	}
	return func(p *v1.Pod) { p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c) }
}

func appTerm(app, key string) v1.PodAffinityTerm {
	return v1.PodAffinityTerm{LabelSelector: selecting("app", app), TopologyKey: key}
}

// zones are four nodes, a and b in zone x, c in zone y, d in none.
func zones() []*v1.Node {
	return []*v1.Node{
		testNode("a", nodeLabel("zone", "x")), testNode("b", nodeLabel("zone", "x")), testNode("c", nodeLabel("zone", "y")), testNode("d"),
	}
}

// uncordoned but for the named ones: what remains is told by the message.
func decideAmong(t *testing.T, nodes []*v1.Node, running map[string][]*v1.Pod, pod *v1.Pod) Decision {
	t.Helper()
	s := newNodes()
	for _, n := range nodes {
		s.setNode(n)
	}
	for node, pods := range running {
		for i, p := range pods {
			p.UID = types.UID(fmt.Sprint(node, i))
			s.place(p, node, false)
		}
	}
	sh := mustShape(t, pod)
	r, err := relationOf(sh, pod, s)
	if err != nil {
		t.Fatal(err)
	}
	return newDecider(1).decide(sh, r, s)
}

func TestRelations(t *testing.T) {
	t.Parallel()
	web := func() *v1.Pod { return testPod("w", podLabel("app", "web")) }
	minDomains := func(n int32) func(*v1.TopologySpreadConstraint) {
		return func(c *v1.TopologySpreadConstraint) { c.MinDomains = &n }
	}
	only := func(k, v string) func(*v1.Pod) {
		return func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{k: v} }
	}
	for name, c := range map[string]struct {
		running       map[string][]*v1.Pod
		pod           *v1.Pod
		node, message string
	}{
		"near another, in its zone only": {
			running: map[string][]*v1.Pod{"c": {web()}}, pod: testPod("p", near(appTerm("web", "zone"))), node: "c",
		},
		"near nobody": {
			pod:     testPod("p", near(appTerm("web", "zone"))),
			message: "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.",
		},
		"near its own kind, as the first": {
			pod: testPod("p", podLabel("app", "web"), near(appTerm("web", "zone")), only(v1.LabelHostname, "c")), node: "c",
		},
		"near two at once": {
			// Both terms have to name the same pod.
			running: map[string][]*v1.Pod{"a": {web()}, "c": {testPod("x", podLabel("tier", "front"))}},
			pod:     testPod("p", near(appTerm("web", "zone"), v1.PodAffinityTerm{LabelSelector: selecting("tier", "front"), TopologyKey: "zone"})),
			message: "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.",
		},
		"away from another": {
			running: map[string][]*v1.Pod{"a": {web()}, "d": {web()}},
			pod:     testPod("p", away(appTerm("web", "zone")), only("zone", "x")),
			message: "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match pod anti-affinity rules.",
		},
		"another wants to be away from it": {
			running: map[string][]*v1.Pod{"a": {testPod("x", away(appTerm("web", "zone")))}},
			pod:     testPod("p", podLabel("app", "web"), only("zone", "x")),
			message: "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't satisfy existing pods anti-affinity rules.",
		},
		"another namespace is none of its business": {
			running: map[string][]*v1.Pod{"a": {testPod("x", func(p *v1.Pod) { p.Namespace = "other" }, podLabel("app", "web"))}},
			pod:     testPod("p", away(appTerm("web", "zone")), only(v1.LabelHostname, "a")), node: "a",
		},
		"even between zones": {
			running: map[string][]*v1.Pod{"a": {web()}},
			pod:     testPod("p", podLabel("app", "web"), spreadBy("zone", 1, v1.DoNotSchedule, "web")), node: "c",
		},
		"not even, and no node": {
			running: map[string][]*v1.Pod{"a": {web()}},
			pod:     testPod("p", podLabel("app", "web"), spreadBy("zone", 1, v1.DoNotSchedule, "web", func(c *v1.TopologySpreadConstraint) { p := v1.NodeInclusionPolicyIgnore; c.NodeAffinityPolicy = &p }), only("zone", "x")),
			message: "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match pod topology spread constraints.",
		},
		"zones that it does not select do not count": {
			running: map[string][]*v1.Pod{"a": {web()}},
			pod:     testPod("p", podLabel("app", "web"), spreadBy("zone", 1, v1.DoNotSchedule, "web"), only(v1.LabelHostname, "b")), node: "b",
		},
		"without the label": {
			pod:     testPod("p", spreadBy("zone", 1, v1.DoNotSchedule, "web"), only(v1.LabelHostname, "d")),
			message: "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), 3 node(s) didn't match Pod's node affinity/selector.",
		},
		"fewer domains than there are to be": {
			running: map[string][]*v1.Pod{"a": {web()}, "c": {web()}},
			pod:     testPod("p", podLabel("app", "web"), spreadBy("zone", 1, v1.DoNotSchedule, "web", minDomains(3))),
			message: "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), 3 node(s) didn't match pod topology spread constraints.",
		},
		"who is leaving does not count": {
			running: map[string][]*v1.Pod{"c": {testPod("x", podLabel("app", "web"), func(p *v1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now })}},
			pod:     testPod("p", podLabel("app", "web"), spreadBy("zone", 1, v1.DoNotSchedule, "web"), only("zone", "y")), node: "c",
		},
		"a wish to be even": {
			running: map[string][]*v1.Pod{"a": {web()}, "b": {web()}},
			pod:     testPod("p", podLabel("app", "web"), spreadBy("zone", 1, v1.ScheduleAnyway, "web")), node: "c",
		},
		"a wish to be near": {
			running: map[string][]*v1.Pod{"c": {web()}}, node: "c",
			pod: testPod("p", func(p *v1.Pod) {
				affinityIn(p).PodAffinity = &v1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.WeightedPodAffinityTerm{{Weight: 100, PodAffinityTerm: appTerm("web", "zone")}}}
			}),
		},
		"others wish to have it near": {
			running: map[string][]*v1.Pod{"c": {testPod("x", near(appTerm("web", "zone")))}}, node: "c",
			pod: testPod("p", podLabel("app", "web")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := decideAmong(t, zones(), c.running, c.pod); d.Node != c.node || d.Message != c.message {
				t.Errorf("got node %q, message %q; want %q, %q", d.Node, d.Message, c.node, c.message)
			}
		})
	}
}

// twin is the cluster as a list, and asks every question anew of every pod.
type twin struct {
	nodes []*v1.Node
	on    map[types.UID]string
	pods  map[types.UID]*v1.Pod
	teams map[string]string // of namespaces
}

func (w *twin) nodeOf(uid types.UID) *v1.Node {
	i := slices.IndexFunc(w.nodes, func(n *v1.Node) bool { return n.Name == w.on[uid] })
	if i < 0 {
		return nil
	}
	return w.nodes[i]
}

func (w *twin) names(owner *v1.Pod, t *v1.PodAffinityTerm, p *v1.Pod) bool {
	in := slices.Contains(t.Namespaces, p.Namespace)
	if t.NamespaceSelector != nil {
		x, _ := metav1.LabelSelectorAsSelector(t.NamespaceSelector)
		in = in || x.Matches(labels.Set{"team": w.teams[p.Namespace]})
	} else if len(t.Namespaces) == 0 {
		in = owner.Namespace == p.Namespace
	}
	x, _ := metav1.LabelSelectorAsSelector(t.LabelSelector)
	return in && x.Matches(labels.Set(p.Labels))
}

func sameDomain(a, b *v1.Node, key string) bool {
	if a == nil || b == nil {
		return false
	}
	x, okA := a.Labels[key]
	y, okB := b.Labels[key]
	return okA && okB && x == y
}

// allows says whether the rules about other pods let a pod onto a node.
func (w *twin) allows(p *v1.Pod, n *v1.Node) bool {
	return w.allowsNear(p, n) && w.allowsAway(p, n) && w.allowsSpread(p, n)
}

func (w *twin) allowsNear(p *v1.Pod, n *v1.Node) bool {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAffinity == nil {
		return true
	}
	terms := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	all := func(q *v1.Pod) bool {
		return !slices.ContainsFunc(terms, func(t v1.PodAffinityTerm) bool { return !w.names(p, &t, q) })
	}
	somebody, good := false, true
	for _, t := range terms {
		if _, ok := n.Labels[t.TopologyKey]; !ok {
			return false
		}
		there := false
		for uid, q := range w.pods {
			if m := w.nodeOf(uid); m != nil && all(q) {
				_, labelled := m.Labels[t.TopologyKey]
				somebody = somebody || labelled
				there = there || sameDomain(n, m, t.TopologyKey)
			}
		}
		good = good && there
	}
	return good || !somebody && all(p)
}

func (w *twin) allowsAway(p *v1.Pod, n *v1.Node) bool {
	repels := func(owner, other *v1.Pod, m *v1.Node) bool {
		if owner.Spec.Affinity == nil || owner.Spec.Affinity.PodAntiAffinity == nil {
			return false
		}
		return slices.ContainsFunc(owner.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t v1.PodAffinityTerm) bool {
			return w.names(owner, &t, other) && sameDomain(n, m, t.TopologyKey)
		})
	}
	for uid, q := range w.pods {
		if m := w.nodeOf(uid); repels(p, q, m) || repels(q, p, m) {
			return false
		}
	}
	return true
}

func (w *twin) allowsSpread(p *v1.Pod, n *v1.Node) bool {
	for _, c := range p.Spec.TopologySpreadConstraints {
		if _, ok := n.Labels[c.TopologyKey]; !ok {
			return false
		}
		x, _ := metav1.LabelSelectorAsSelector(c.LabelSelector)
		counts := map[string]int{}
		for _, m := range w.nodes {
			if !slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c v1.TopologySpreadConstraint) bool { _, ok := m.Labels[c.TopologyKey]; return !ok }) {
				counts[m.Labels[c.TopologyKey]] += 0
				for uid, q := range w.pods {
					if w.on[uid] == m.Name && q.Namespace == p.Namespace && x.Matches(labels.Set(q.Labels)) {
						counts[m.Labels[c.TopologyKey]]++
					}
				}
			}
		}
		least := math.MaxInt32
		for _, k := range counts {
			least = min(least, k)
		}
		self := 0
		if x.Matches(labels.Set(p.Labels)) {
			self = 1
		}
		if counts[n.Labels[c.TopologyKey]]+self-least > int(c.MaxSkew) {
			return false
		}
	}
	return true
}

func drawTerm(t *rapid.T) v1.PodAffinityTerm {
	term := appTerm(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "app"), rapid.SampledFrom([]string{"zone", v1.LabelHostname}).Draw(t, "key"))
	switch rapid.IntRange(0, 3).Draw(t, "namespaces") {
	case 0:
		term.Namespaces = []string{"other"}
	case 1:
		term.NamespaceSelector = selecting("team", "red")
	case 2:
		term.NamespaceSelector = &metav1.LabelSelector{}
	}
	return term
}

func drawRelated(t *rapid.T, name string) *v1.Pod {
	p := testPod(name, podLabel("app", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "is")))
	p.Namespace = rapid.SampledFrom([]string{"default", "other"}).Draw(t, "namespace")
	switch rapid.IntRange(0, 4).Draw(t, "rule") {
	case 0:
		near(drawTerm(t), drawTerm(t))(p)
	case 1:
		near(drawTerm(t))(p)
	case 2:
		away(drawTerm(t))(p)
	case 3:
		spreadBy(rapid.SampledFrom([]string{"zone", v1.LabelHostname}).Draw(t, "by"), int32(rapid.IntRange(1, 2).Draw(t, "skew")), v1.DoNotSchedule, "a")(p)
	}
	return p
}

// TestRelationsTwin: whatever happens to nodes, pods and namespaces, the counters let
// a pod onto exactly those nodes that a look at every pod does.
func TestRelationsTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, d := newNodes(), newDecider(1)
		w := &twin{on: map[types.UID]string{}, pods: map[types.UID]*v1.Pod{}, teams: map[string]string{}}
		name := rapid.SampledFrom([]string{"n1", "n2", "n3", "n4"})
		shapes := shapes{byKey: map[string]*shape{}}
		uid := 0
		t.Repeat(map[string]func(*rapid.T){
			"node": func(t *rapid.T) {
				n := testNode(name.Draw(t, "node"))
				if zone := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "zone"); zone != "" {
					n.Labels["zone"] = zone
				}
				w.nodes = append(slices.DeleteFunc(w.nodes, func(m *v1.Node) bool { return m.Name == n.Name }), n)
				s.setNode(n)
			},
			"gone": func(t *rapid.T) {
				gone := name.Draw(t, "node")
				w.nodes = slices.DeleteFunc(w.nodes, func(m *v1.Node) bool { return m.Name == gone })
				s.removeNode(gone)
			},
			"place": func(t *rapid.T) {
				uid++
				p := drawRelated(t, fmt.Sprint(uid))
				w.pods[p.UID], w.on[p.UID] = p, name.Draw(t, "on")
				s.place(p, w.on[p.UID], false)
			},
			"remove": func(t *rapid.T) {
				gone := types.UID(fmt.Sprint(rapid.IntRange(0, uid).Draw(t, "pod")))
				delete(w.pods, gone)
				delete(w.on, gone)
				s.remove(gone)
			},
			"team": func(t *rapid.T) {
				ns, team := rapid.SampledFrom([]string{"default", "other"}).Draw(t, "namespace"), rapid.SampledFrom([]string{"red", "blue"}).Draw(t, "team")
				w.teams[ns] = team
				s.tallies.setNamespace(ns, map[string]string{"team": team})
			},
			"": func(t *rapid.T) {
				p := drawRelated(t, "next")
				sh, err := shapes.of(p)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range w.nodes {
					if len(w.pods) > 8 {
						continue // the node may be full
					}
					got, want := len(d.refusals(p, sh, s.slot[n.Name], s)) == 0, w.allows(p, n)
					if got != want {
						t.Fatalf("pod %+v on %s: %v (%v), want %v", p.Spec, n.Name, got, d.refusals(p, sh, s.slot[n.Name], s), want)
					}
				}
			},
		})
	})
}

// The pods of one workload, one after the other, onto 5,000 nodes in ten zones.
func BenchmarkRelated5000Nodes(b *testing.B) {
	for name, rule := range map[string]func(*v1.Pod){
		"spread":           spreadBy("zone", 5, v1.DoNotSchedule, "web"),
		"preferred spread": spreadBy("zone", 5, v1.ScheduleAnyway, "web"),
		"affinity":         near(appTerm("web", "zone")),
		"anti-affinity":    away(appTerm("web", v1.LabelHostname)),
	} {
		b.Run(name, func(b *testing.B) {
			s := newNodes()
			for i := range 5000 {
				s.setNode(testNode(fmt.Sprint("node-", i), nodeLabel("zone", fmt.Sprint(i%10))))
			}
			sh, d := mustShape(b, testPod("p", requests("10m", "10Mi"))), newDecider(1)
			i := 0
			for b.Loop() {
				i++
				p := testPod(fmt.Sprint("p", i%4000), requests("10m", "10Mi"), podLabel("app", "web"), rule)
				s.remove(p.UID)
				r, err := relationOf(sh, p, s)
				if err != nil {
					b.Fatal(err)
				}
				s.place(p, d.decide(sh, r, s).Node, true)
			}
		})
	}
}
