package nodelifecycle

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func nodes(zone string, all, ill int) (out []*v1.Node) {
	for i := range all {
		status := v1.ConditionTrue
		if i < ill {
			status = v1.ConditionUnknown
		}
		out = append(out, &v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", zone, i), Labels: map[string]string{v1.LabelTopologyZone: zone}},
			Status:     v1.NodeStatus{Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: status}}},
		})
	}
	return out
}

// Nodes are given up slowly: 0.1 a second; a tenth of that where 55 % of a zone
// are ill, and none where such a zone has no more than 50 nodes; none at all
// when nothing is well anywhere.
func TestRates(t *testing.T) {
	t.Parallel()
	type zone struct {
		all, ill int
		want     float64
	}
	for name, zones := range map[string][]zone{
		"all well":                      {{10, 0, 0.1}},
		"some ill":                      {{10, 5, 0.1}},
		"two of three":                  {{3, 2, 0.1}}, // fewer than three ill are never a disaster
		"55 % of a small one":           {{20, 11, 0}},
		"just below":                    {{20, 10, 0.1}},
		"fifty are small":               {{50, 28, 0}},
		"fifty-one are large":           {{51, 29, 0.01}},
		"just below, large":             {{100, 54, 0.1}},
		"55 % of a large one":           {{100, 55, 0.01}},
		"all ill":                       {{10, 10, 0}},
		"one zone ill, one well":        {{10, 10, 0.1}, {10, 0, 0.1}},
		"one zone ill, one half":        {{10, 10, 0.1}, {100, 60, 0.01}},
		"both ill":                      {{10, 10, 0}, {100, 100, 0}},
		"a small one half ill, a large": {{10, 6, 0}, {60, 40, 0.01}, {5, 0, 0.1}},
	} {
		var all []*v1.Node
		for i, z := range zones {
			all = append(all, nodes(fmt.Sprint("z", i), z.all, z.ill)...)
		}
		got := rates(all)
		for i, z := range zones {
			if r := got[zoneKey(i)]; r != z.want {
				t.Errorf("%s: zone %d gives up %v a second, want %v", name, i, r, z.want)
			}
		}
	}
}

func zoneKey(i int) string { return zone(nodes(fmt.Sprint("z", i), 1, 0)[0]) }

// However often it is asked, and however many nodes ask, no more pass in any
// time than the rate says, and one more to begin with.
func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	begin := time.Unix(1000, 0)
	passed := 0
	for now := begin; now.Before(begin.Add(100 * time.Second)); now = now.Add(100 * time.Millisecond) {
		for range 3 {
			ok, wait := p.allow(evictionRate, now)
			if ok {
				passed++
			} else if wait <= 0 || wait > 10*time.Second {
				t.Fatalf("to wait for %v", wait)
			}
		}
	}
	if passed != 10 {
		t.Errorf("%d nodes given up in 100 s", passed)
	}
	if ok, wait := p.allow(0, begin.Add(time.Hour)); ok || wait <= 0 {
		t.Error("a rate of nothing lets one pass")
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	known := nodes("z", 1, 0)[0]
	silent := decide(known, health{seen: now.Add(-DefaultGracePeriod)}, DefaultGracePeriod, now)
	if c := condition(silent.conditions, v1.NodeReady); c == nil || c.Status != v1.ConditionUnknown || c.Reason != "NodeStatusUnknown" {
		t.Errorf("a silent node: %+v", silent.conditions)
	}
	if c := condition(silent.conditions, v1.NodeDiskPressure); c == nil || c.Reason != "NodeStatusNeverUpdated" {
		t.Errorf("what a silent node has never said: %+v", silent.conditions)
	}
	if silent.execute == nil || silent.execute.Key != v1.TaintNodeUnreachable || len(silent.schedule) != 1 || silent.schedule[0].Key != v1.TaintNodeUnreachable {
		t.Errorf("taints %v, %v", silent.execute, silent.schedule)
	}
	if condition(known.Status.Conditions, v1.NodeReady).Status != v1.ConditionTrue {
		t.Error("the shared node was changed")
	}
	if p := decide(known, health{seen: now.Add(-DefaultGracePeriod + time.Second)}, DefaultGracePeriod, now); p.conditions != nil || p.execute != nil || p.again != time.Second {
		t.Errorf("a node that may still speak: %+v", p)
	}
	fresh := &v1.Node{}
	if p := decide(fresh, health{seen: now.Add(-DefaultGracePeriod)}, DefaultGracePeriod, now); p.conditions != nil || p.again != startupGracePeriod-DefaultGracePeriod {
		t.Errorf("a node that has never spoken has longer: %+v", p)
	}
	for _, tt := range []struct {
		condition v1.NodeConditionType
		status    v1.ConditionStatus
		taint     string
		execute   bool
	}{
		{v1.NodeReady, v1.ConditionFalse, v1.TaintNodeNotReady, true},
		{v1.NodeReady, v1.ConditionUnknown, v1.TaintNodeUnreachable, true},
		{v1.NodeMemoryPressure, v1.ConditionTrue, v1.TaintNodeMemoryPressure, false},
		{v1.NodeDiskPressure, v1.ConditionTrue, v1.TaintNodeDiskPressure, false},
		{v1.NodePIDPressure, v1.ConditionTrue, v1.TaintNodePIDPressure, false},
		{v1.NodeNetworkUnavailable, v1.ConditionTrue, v1.TaintNodeNetworkUnavailable, false},
	} {
		n := &v1.Node{Status: v1.NodeStatus{Conditions: []v1.NodeCondition{{Type: tt.condition, Status: tt.status}}}}
		p := decide(n, health{seen: now}, DefaultGracePeriod, now)
		if len(p.schedule) != 1 || p.schedule[0].Key != tt.taint || (p.execute != nil) != tt.execute {
			t.Errorf("%s=%s: %v %v", tt.condition, tt.status, p.schedule, p.execute)
		}
	}
}

func TestTaints(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Unix(10_000, 0))
	users := v1.Taint{Key: "dedicated", Value: "x", Effect: v1.TaintEffectNoExecute}
	ill := plan{schedule: []v1.Taint{{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoSchedule}}, execute: &v1.Taint{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoExecute}}
	n := &v1.Node{Spec: v1.NodeSpec{Taints: []v1.Taint{users}}}
	for _, tt := range []struct {
		name    string
		was     []v1.Taint
		plan    plan
		evict   bool
		want    int
		changed bool
	}{
		{"well", []v1.Taint{users}, plan{}, true, 1, false},
		{"falls ill, may not be given up yet", []v1.Taint{users}, ill, false, 2, true},
		{"falls ill, is given up", []v1.Taint{users}, ill, true, 3, true},
		{"stays ill", append([]v1.Taint{users, *ill.execute}, ill.schedule...), ill, false, 3, false},
		{"recovers", append([]v1.Taint{users, *ill.execute}, ill.schedule...), plan{}, false, 1, true},
	} {
		n.Spec.Taints = tt.was
		got, changed := taints(n, tt.plan, tt.evict, now)
		if len(got) != tt.want || changed != tt.changed || !has(got, &users) {
			t.Errorf("%s: %v, changed %v", tt.name, got, changed)
		}
	}
}
