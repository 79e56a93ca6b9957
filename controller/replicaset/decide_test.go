package replicaset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"proa/controller"
	"proa/controller/podstate"
)

func TestDecideCounts(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	pod := func(change func(*v1.Pod)) *v1.Pod {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b", "x": "y"}}}
		change(p)
		return p
	}
	readyFor := func(d time.Duration) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-d))}}
		}
	}
	pods := []*v1.Pod{
		pod(func(*v1.Pod) {}),
		pod(readyFor(5 * time.Second)),
		pod(readyFor(time.Minute)),
		pod(func(p *v1.Pod) { p.Labels = map[string]string{"a": "b"} }),
		pod(func(p *v1.Pod) { p.Status.Phase = v1.PodFailed }),
		pod(func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }),
	}
	s := &set{Object: &metav1.ObjectMeta{}, replicas: 6, minReady: 10, templateLabels: map[string]string{"a": "b", "x": "y"}}
	got := decide(s, pods, pods, true, now)
	want := status{replicas: 4, fullyLabeled: 3, ready: 2, available: 1, terminating: 1}
	if got.status != want || got.create != 2 || got.remove != nil || got.again != 5*time.Second {
		t.Errorf("%+v", got)
	}
	if p := decide(s, pods, pods, false, now); p.create != 0 || p.status != want {
		t.Errorf("while changes are outstanding: %+v", p)
	}
	s.replicas = 100_000
	if p := decide(s, pods, pods, true, now); p.create != burst {
		t.Errorf("at once: %d", p.create)
	}
	s.replicas, s.deleting = 0, true
	if p := decide(s, pods, pods, true, now); p.create != 0 || p.remove != nil {
		t.Errorf("a set that is being deleted: %+v", p)
	}
}

// less reports whether a is to be deleted before b, in upstream's order, rule by
// rule.
func less(a, b *v1.Pod, crowd map[string]int, now time.Time) bool {
	if (a.Spec.NodeName == "") != (b.Spec.NodeName == "") {
		return a.Spec.NodeName == ""
	}
	phases := map[v1.PodPhase]int{v1.PodPending: 0, v1.PodUnknown: 1, v1.PodRunning: 2}
	if x, y := phases[a.Status.Phase], phases[b.Status.Phase]; x != y {
		return x < y
	}
	if x, y := podstate.Ready(a), podstate.Ready(b); x != y {
		return !x
	}
	if x, y := deletionCost(a), deletionCost(b); x != y {
		return x < y
	}
	if x, y := crowd[a.Spec.NodeName], crowd[b.Spec.NodeName]; x != y {
		return x > y
	}
	magnitude := func(t metav1.Time) int64 {
		if d := now.Sub(t.Time); d > 0 {
			return int64(math.Log2(float64(d)))
		}
		return -1
	}
	if podstate.Ready(a) {
		x, y := podstate.ReadySince(a), podstate.ReadySince(b)
		if !x.Equal(&y) {
			if i, j := magnitude(x), magnitude(y); i != j {
				return i < j
			}
			return a.UID < b.UID
		}
	}
	if x, y := restarts(a), restarts(b); x != y {
		return x > y
	}
	if x, y := a.CreationTimestamp, b.CreationTimestamp; !x.Equal(&y) {
		if i, j := magnitude(x), magnitude(y); i != j {
			return i < j
		}
	}
	return a.UID < b.UID
}

func TestRank(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var pods []*v1.Pod
		for i := range 2 + random.IntN(12) {
			pods = append(pods, randomPod(random, i, now))
		}
		crowd := map[string]int{}
		for _, p := range pods {
			crowd[p.Spec.NodeName]++
		}
		want := slices.Clone(pods)
		sort.SliceStable(want, func(i, j int) bool { return less(want[i], want[j], crowd, now) })
		n := 1 + random.IntN(len(pods)-1)
		if got := first(pods, pods, n, now); !slices.Equal(got, want[:n]) {
			t.Fatalf("seed %d: %v, want %v", seed, names(got), names(want[:n]))
		}
	}
}

func randomPod(random *rand.Rand, i int, now time.Time) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(random.Uint32())),
		CreationTimestamp: metav1.NewTime(now.Add(-time.Duration(1<<random.IntN(20)) * time.Second)),
	}}
	p.Spec.NodeName = []string{"", "one", "two"}[random.IntN(3)]
	p.Status.Phase = []v1.PodPhase{v1.PodPending, v1.PodRunning, v1.PodRunning}[random.IntN(3)]
	if random.IntN(3) > 0 {
		since := metav1.NewTime(now.Add(-time.Duration(random.IntN(3)*random.IntN(1000)) * time.Second))
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: since}}
	}
	if random.IntN(4) == 0 {
		p.Annotations = map[string]string{v1.PodDeletionCost: fmt.Sprint(random.IntN(3) - 1)}
	}
	p.Status.ContainerStatuses = []v1.ContainerStatus{{RestartCount: int32(random.IntN(3))}}
	return p
}

func names(pods []*v1.Pod) (out []string) {
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}

// Whatever the order in which a view catches up with what was done, there are
// never more pods than wanted, and none is removed that is needed.
func TestNeverOvershoots(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(10_000, 0)
		clock := testingclock.NewFakePassiveClock(now)
		expect := controller.NewExpectations[string](clock)
		truth := map[types.UID]*v1.Pod{} // what the API has
		view := map[types.UID]*v1.Pod{}  // what the controller sees
		var events []func()              // what the view has still to see
		next := 0
		wanted := int32(random.IntN(10))
		s := &set{Object: &metav1.ObjectMeta{}, replicas: wanted}
		see := func() {
			events[0]()
			events = events[1:]
		}
		for range 200 {
			if len(events) > 0 && random.IntN(2) == 0 {
				see()
				continue
			}
			if len(events) == 0 && random.IntN(20) == 0 {
				wanted = int32(random.IntN(10))
				s = &set{Object: &metav1.ObjectMeta{}, replicas: wanted}
			}
			settled := expect.Satisfied("k")
			var pods []*v1.Pod
			for _, p := range view {
				pods = append(pods, p)
			}
			p := decide(s, pods, pods, settled, now)
			before := int32(len(truth))
			if p.create > 0 {
				expect.ExpectCreations("k", p.create)
			}
			for range p.create {
				if random.IntN(5) == 0 {
					expect.CreationObserved("k") // it failed
					continue
				}
				next++
				pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(next))}}
				truth[pod.UID] = pod
				events = append(events, func() { view[pod.UID] = pod; expect.CreationObserved("k") })
			}
			for _, pod := range p.remove {
				expect.ExpectDeletion("k", pod.UID)
				delete(truth, pod.UID)
				events = append(events, func() { delete(view, pod.UID); expect.DeletionObserved("k", pod.UID) })
			}
			if n := int32(len(truth)); p.create > 0 && n > wanted || len(p.remove) > 0 && n < wanted {
				t.Fatalf("seed %d: from %d to %d pods, where %d are wanted", seed, before, n, wanted)
			}
		}
		// With all seen, it settles.
		for range 10 {
			for len(events) > 0 {
				see()
			}
			if !expect.Satisfied("k") {
				t.Fatalf("seed %d: waits for what has been seen", seed)
			}
			var pods []*v1.Pod
			for _, p := range view {
				pods = append(pods, p)
			}
			p := decide(s, pods, pods, true, now)
			for range p.create {
				next++
				pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(next))}}
				truth[pod.UID], view[pod.UID] = pod, pod
			}
			for _, pod := range p.remove {
				delete(truth, pod.UID)
				delete(view, pod.UID)
			}
		}
		if int32(len(truth)) != wanted {
			t.Fatalf("seed %d: %d pods, want %d", seed, len(truth), wanted)
		}
	}
}
