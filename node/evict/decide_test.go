package evict_test

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/node/evict"
)

const mi = 1 << 20

func usage(name string, priority int32, requested string, used int64) evict.Usage {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Priority: &priority, Containers: []v1.Container{{Name: "c"}}}}
	if requested != "" {
		p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceMemory: resource.MustParse(requested)}
	}
	return evict.Usage{Pod: p, Memory: map[string]int64{"c": used}}
}

func TestRank(t *testing.T) {
	t.Parallel()
	var got []string
	for _, u := range evict.Rank(evict.Memory, []evict.Usage{
		usage("within its request", 0, "200Mi", 100*mi),
		usage("important, over", 100, "", 500*mi),
		usage("over by little", 0, "90Mi", 100*mi),
		usage("over by much", 0, "", 300*mi),
		usage("critical", 2_000_001_000, "", 900*mi),
	}) {
		got = append(got, u.Pod.Name)
	}
	want := []string{"over by much", "over by little", "important, over", "within its request"}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	thresholds, err := evict.ParseThresholds(
		map[string]string{"memory.available": "100Mi", "nodefs.available": "10%"},
		map[string]string{"memory.available": "200Mi"}, map[string]string{"memory.available": "1m"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	levels := func(memory, disk int64) map[evict.Signal]evict.Level {
		return map[evict.Signal]evict.Level{evict.Memory: {memory * mi, 1000 * mi}, evict.NodeDisk: {disk, 100}}
	}
	var state evict.State
	step := func(after time.Duration, memory, disk int64) evict.Plan {
		now = now.Add(after)
		p := evict.Decide(levels(memory, disk), thresholds, state, 5*time.Minute, now)
		state = p.State
		return p
	}
	if p := step(0, 500, 50); p.Threshold != nil || len(p.Conditions) > 0 {
		t.Errorf("plenty: %+v", p)
	}
	if p := step(time.Second, 150, 50); p.Threshold != nil || !p.Conditions[v1.NodeMemoryPressure] {
		t.Errorf("below the soft threshold: %+v", p)
	}
	if p := step(time.Minute, 150, 50); p.Threshold == nil || p.Threshold.Grace != time.Minute {
		t.Errorf("after its grace: %+v", p)
	}
	if p := step(time.Second, 50, 50); p.Threshold == nil || p.Threshold.Grace != 0 || p.ReclaimImages {
		t.Errorf("below the hard threshold: %+v", p)
	}
	if p := step(time.Minute, 500, 50); p.Threshold != nil || !p.Conditions[v1.NodeMemoryPressure] {
		t.Errorf("the condition must hold for a while: %+v", p)
	}
	if p := step(5*time.Minute, 500, 50); len(p.Conditions) > 0 {
		t.Errorf("and then end: %+v", p)
	}
	if p := step(time.Second, 500, 5); !p.ReclaimImages || !p.Conditions[v1.NodeDiskPressure] {
		t.Errorf("a full disk: %+v", p)
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	got := evict.Message(evict.Threshold{Signal: evict.Memory, Quantity: 100 * mi}, evict.Level{Available: 50 * mi, Capacity: 1000 * mi}, usage("p", 0, "", 300*mi))
	want := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container c was using 300Mi, request is 0, has larger consumption of memory. "
	if got != want {
		t.Errorf("message %q\nwant    %q", got, want)
	}
}

func TestParseThresholds(t *testing.T) {
	t.Parallel()
	for _, bad := range []map[string]string{{"memory.left": "1"}, {"memory.available": "much"}, {"memory.available": "120%"}} {
		if _, err := evict.ParseThresholds(bad, nil, nil); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
	if _, err := evict.ParseThresholds(nil, map[string]string{"memory.available": "1Mi"}, nil); err == nil {
		t.Error("a soft threshold without a grace period is accepted")
	}
	got, err := evict.ParseThresholds(map[string]string{"memory.available": "0%", "pid.available": "10%"}, nil, nil)
	if err != nil || len(got) != 1 || got[0].Signal != evict.Processes {
		t.Errorf("%+v %v", got, err)
	}
}
