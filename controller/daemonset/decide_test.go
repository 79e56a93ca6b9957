package daemonset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Unix(100_000, 0)

func taint(key string, effect v1.TaintEffect) func(*v1.Node) {
	return func(n *v1.Node) { n.Spec.Taints = append(n.Spec.Taints, v1.Taint{Key: key, Effect: effect}) }
}

func node(name string, change ...func(*v1.Node)) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
	for _, f := range change {
		f(n)
	}
	return n
}

func TestFit(t *testing.T) {
	t.Parallel()
	affinity := &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
		NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{Key: "name", Operator: v1.NodeSelectorOpIn, Values: []string{"a", "b"}}}}}}}}
	for name, c := range map[string]struct {
		spec v1.PodSpec
		node *v1.Node
		want fit
	}{
		"any":                 {v1.PodSpec{}, node("a"), runs},
		"by name":             {v1.PodSpec{NodeName: "a"}, node("a"), runs},
		"another by name":     {v1.PodSpec{NodeName: "b"}, node("a"), no},
		"selected":            {v1.PodSpec{NodeSelector: map[string]string{"name": "a"}}, node("a"), runs},
		"not selected":        {v1.PodSpec{NodeSelector: map[string]string{"name": "b"}}, node("a"), no},
		"affine":              {v1.PodSpec{Affinity: affinity}, node("a"), runs},
		"not affine":          {v1.PodSpec{Affinity: affinity}, node("c"), no},
		"tainted":             {v1.PodSpec{}, node("a", taint("k", v1.TaintEffectNoSchedule)), stays},
		"tainted for good":    {v1.PodSpec{}, node("a", taint("k", v1.TaintEffectNoExecute)), no},
		"rather not":          {v1.PodSpec{}, node("a", taint("k", v1.TaintEffectPreferNoSchedule)), runs},
		"tolerated":           {v1.PodSpec{Tolerations: []v1.Toleration{{Operator: v1.TolerationOpExists}}}, node("a", taint("k", v1.TaintEffectNoExecute)), runs},
		"cordoned":            {v1.PodSpec{}, node("a", taint(v1.TaintNodeUnschedulable, v1.TaintEffectNoSchedule)), runs},
		"in trouble":          {v1.PodSpec{}, node("a", taint(v1.TaintNodeNotReady, v1.TaintEffectNoExecute), taint(v1.TaintNodeDiskPressure, v1.TaintEffectNoSchedule)), runs},
		"new and not ready":   {v1.PodSpec{}, node("a", taint(v1.TaintNodeNotReady, v1.TaintEffectNoSchedule)), stays},
		"without network":     {v1.PodSpec{}, node("a", taint(v1.TaintNodeNetworkUnavailable, v1.TaintEffectNoSchedule)), stays},
		"makes the network":   {v1.PodSpec{HostNetwork: true}, node("a", taint(v1.TaintNodeNetworkUnavailable, v1.TaintEffectNoSchedule)), runs},
		"selected by nothing": {v1.PodSpec{Affinity: &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{}}}}, node("a"), no},
	} {
		ds := &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: v1.PodTemplateSpec{Spec: c.spec}}}
		if got := newMatcher(ds).fit(c.node); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// pod reads "name@node flags": new or old, ready, failed, succeeded, deleted,
// pending (not bound yet).
func pod(text string) *v1.Pod {
	name, rest, _ := strings.Cut(text, "@")
	on, flags, _ := strings.Cut(rest, " ")
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
		Labels: map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: "new"}}, Spec: v1.PodSpec{NodeName: on}}
	for f := range strings.FieldsSeq(flags) {
		switch f {
		case "old":
			p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = "old"
		case "ready":
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}}
		case "failed":
			p.Status.Phase = v1.PodFailed
		case "succeeded":
			p.Status.Phase = v1.PodSucceeded
		case "deleted":
			p.DeletionTimestamp = &metav1.Time{Time: now}
		case "younger":
			p.CreationTimestamp = metav1.NewTime(now)
		case "pending":
			p.Spec.NodeName, p.Spec.Affinity = "", pin(nil, on)
		default:
			panic(f)
		}
	}
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	number := func(n int) *intstr.IntOrString { v := intstr.FromInt32(int32(n)); return &v }
	unavailable := func(n int) appsv1.DaemonSetUpdateStrategy {
		return appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: number(n), MaxSurge: number(0)}}
	}
	surge := func(n int) appsv1.DaemonSetUpdateStrategy {
		return appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: number(0), MaxSurge: number(n)}}
	}
	onDelete := appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	abc := []*v1.Node{node("a"), node("b"), node("c")}
	tainted := []*v1.Node{node("a", taint("k", v1.TaintEffectNoSchedule)), node("b", taint("k", v1.TaintEffectNoExecute)), node("c")}
	for name, c := range map[string]struct {
		strategy  appsv1.DaemonSetUpdateStrategy
		nodes     []*v1.Node
		pods      []string
		minReady  int32
		unsettled bool
		failing   time.Duration
		want      string // create; remove; desired/current/misscheduled/ready/updated/available; again
	}{
		"begin":                {strategy: onDelete, nodes: abc, want: "[a b c] [] 3/0/0/0/0/0 0s"},
		"a node is new":        {strategy: onDelete, nodes: abc, pods: []string{"x@a ready", "y@b"}, want: "[c] [] 3/2/0/1/2/1 0s"},
		"while waiting":        {strategy: onDelete, nodes: abc, pods: []string{"x@a"}, unsettled: true, want: "[] [] 3/1/0/0/1/0 0s"},
		"not bound yet":        {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a pending"}, want: "[] [] 1/1/0/0/1/0 0s"},
		"one is going":         {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a ready deleted"}, want: "[] [] 1/1/0/1/1/1 0s"},
		"one is gone, held":    {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a failed deleted"}, want: "[a] [] 1/0/0/0/0/0 0s"},
		"tainted":              {strategy: onDelete, nodes: tainted, pods: []string{"x@a", "y@b", "z@c"}, want: "[] [y] 1/1/2/0/1/0 0s"},
		"failed":               {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a failed"}, want: "[] [x!] 1/1/0/0/1/0 0s"},
		"fails again":          {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a failed"}, failing: time.Second, want: "[] [] 1/1/0/0/1/0 1s"},
		"succeeded":            {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a succeeded"}, want: "[] [x.] 1/1/0/0/1/0 0s"},
		"two":                  {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a younger", "y@a"}, want: "[] [x] 1/1/0/0/1/0 0s"},
		"for a node not there": {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a", "y@gone pending", "z@gone"}, want: "[] [y] 1/1/0/0/1/0 0s"},
		"not yet available":    {strategy: onDelete, nodes: abc[:1], pods: []string{"x@a ready"}, minReady: 90, want: "[] [] 1/1/0/1/1/0 30s"},
		"on delete":            {strategy: onDelete, nodes: abc, pods: []string{"x@a old ready", "y@b old ready", "z@c old ready"}, want: "[] [] 3/3/0/3/0/3 0s"},

		"one at a time":                    {strategy: unavailable(1), nodes: abc, pods: []string{"x@a old ready", "y@b old ready", "z@c old ready"}, want: "[] [x] 3/3/0/3/0/3 0s"},
		"two at a time":                    {strategy: unavailable(2), nodes: abc, pods: []string{"x@a old ready", "y@b old ready", "z@c old ready"}, want: "[] [x y] 3/3/0/3/0/3 0s"},
		"wait for the new one":             {strategy: unavailable(1), nodes: abc, pods: []string{"x@a", "y@b old ready", "z@c old ready"}, want: "[] [] 3/3/0/2/1/2 0s"},
		"wait for the old one to go":       {strategy: unavailable(1), nodes: abc, pods: []string{"x@a old deleted", "y@b old ready", "z@c old ready"}, want: "[] [] 3/3/0/2/0/2 0s"},
		"broken ones first, at no cost":    {strategy: unavailable(1), nodes: abc, pods: []string{"x@a old ready", "y@b old", "z@c old"}, want: "[] [y z] 3/3/0/1/0/1 0s"},
		"what is missing comes first":      {strategy: unavailable(1), nodes: abc, pods: []string{"x@a old ready", "y@b old ready"}, want: "[c] [] 3/2/0/2/0/2 0s"},
		"neither allowed is one at a time": {strategy: unavailable(0), nodes: abc, pods: []string{"x@a old ready", "y@b old ready", "z@c old ready"}, want: "[] [x] 3/3/0/3/0/3 0s"},

		"surge":                    {strategy: surge(1), nodes: abc, pods: []string{"x@a old ready", "y@b old ready", "z@c old ready"}, want: "[a] [] 3/3/0/3/0/3 0s"},
		"surging":                  {strategy: surge(1), nodes: abc, pods: []string{"x@a old ready", "n@a younger", "y@b old ready", "z@c old ready"}, want: "[] [] 3/3/0/3/0/3 0s"},
		"taken over":               {strategy: surge(1), nodes: abc, pods: []string{"x@a old ready", "n@a younger ready", "y@b old ready", "z@c old ready"}, want: "[] [x] 3/3/0/3/0/3 0s"},
		"surge over broken ones":   {strategy: surge(1), nodes: abc, pods: []string{"x@a old", "y@b old ready", "z@c old"}, want: "[a c b] [] 3/3/0/1/0/1 0s"},
		"a broken old one beside":  {strategy: surge(1), nodes: abc[:1], pods: []string{"x@a old", "n@a younger"}, want: "[] [x] 1/1/0/0/0/0 0s"},
		"misplaced and needed":     {strategy: surge(1), nodes: []*v1.Node{node("a", taint("k", v1.TaintEffectNoSchedule)), node("b")}, pods: []string{"x@a old ready", "y@b"}, want: "[] [] 1/1/1/0/1/0 0s"},
		"misplaced and not needed": {strategy: surge(1), nodes: []*v1.Node{node("a", taint("k", v1.TaintEffectNoSchedule)), node("b")}, pods: []string{"x@a old ready", "y@b ready"}, want: "[] [x] 1/1/1/1/1/1 0s"},
		"surging, one ended":       {strategy: surge(1), nodes: abc[:1], pods: []string{"x@a failed"}, failing: time.Second, want: "[a] [] 1/1/0/0/1/0 1s"},
	} {
		ds := &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{UpdateStrategy: c.strategy, MinReadySeconds: c.minReady}}
		v := view{set: ds, nodes: c.nodes, hash: "new", now: now, settled: !c.unsettled, failing: func(string) time.Duration { return c.failing }}
		for _, text := range c.pods {
			v.pods = append(v.pods, pod(text))
		}
		p := decide(v)
		var gone []string
		for _, r := range p.remove {
			mark := ""
			if r.failed {
				mark = "!"
			} else if r.succeeded {
				mark = "."
			}
			gone = append(gone, r.pod.Name+mark)
		}
		s := p.status
		got := fmt.Sprintf("%v %v %d/%d/%d/%d/%d/%d %v", p.create, gone, s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberMisscheduled,
			s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable, p.again)
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if s.NumberUnavailable != s.DesiredNumberScheduled-s.NumberAvailable {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestUpdatedByGeneration: pods of controllers that did not write hashes are
// told apart by the generation of the template.
func TestUpdatedByGeneration(t *testing.T) {
	t.Parallel()
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{appsv1.DeprecatedTemplateGeneration: "3"}}}
	v := view{set: ds, hash: "new"}
	for g, want := range map[string]bool{"3": true, "2": false, "": false} {
		if got := v.updated(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{templateGeneration: g}}}); got != want {
			t.Errorf("%q: %t", g, got)
		}
	}
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	limit := int32(1)
	ds := &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{RevisionHistoryLimit: &limit}}
	var old []*appsv1.ControllerRevision
	for i := range 4 {
		old = append(old, &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i),
			Labels: map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: fmt.Sprint(i)}}})
	}
	used := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: "0"}}}
	var names []string
	for _, r := range forgotten(ds, old, []*v1.Pod{used}) {
		names = append(names, r.Name)
	}
	if fmt.Sprint(names) != "[1 2 3]" {
		t.Error(names)
	}
}
