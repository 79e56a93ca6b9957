package fairness

import (
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"pgregory.net/rapid"
)

// The levels that every cluster has get as many seats as upstream's server gives
// them of 600, at rest too.
func TestSharesAreUpstreams(t *testing.T) {
	t.Parallel()
	specs := map[string]*flowcontrolv1.PriorityLevelConfigurationSpec{}
	for _, l := range append(bootstrap.MandatoryPriorityLevelConfigurations[:2:2], bootstrap.SuggestedPriorityLevelConfigurations...) {
		specs[l.Name] = &l.Spec
	}
	got := share(600, specs)
	names := []string{"catch-all", "global-default", "leader-election", "node-high", "system", "workload-high", "workload-low", "exempt"}
	for i, want := range []bounds{{13, 13, 613}, {49, 24, 649}, {25, 25, 625}, {98, 73, 698}, {74, 50, 674}, {98, 49, 698}, {245, 24, 845}, {0, 0, 600}} {
		if got[names[i]] != want {
			t.Errorf("%s: %+v, upstream has %+v", names[i], got[names[i]], want)
		}
	}
	var wishes []wish
	for _, n := range names[:7] {
		wishes = append(wishes, wish{bounds: got[n]})
	}
	want := []int{30, 56, 58, 170, 117, 114, 56}
	for i, n := range lend(600, wishes) {
		if d := n - want[i]; d < -1 || d > 1 { // rounding
			t.Errorf("%d: %d seats, upstream has %d", i, n, want[i])
		}
	}
}

// Whatever levels had to do: none gets less than it may not lend or used of its
// share, none more than it may borrow, and no more is given than there is but
// for rounding and what is owed.
func TestLendKeepsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(0, 2000).Draw(t, "total")
		var wishes []wish
		owed := 0.0
		for range rapid.IntRange(1, 12).Draw(t, "levels") {
			nominal := rapid.IntRange(0, 500).Draw(t, "nominal")
			w := wish{
				bounds: bounds{nominal, rapid.IntRange(0, nominal).Draw(t, "least"), nominal + rapid.IntRange(0, 500).Draw(t, "borrow")},
				high:   float64(rapid.IntRange(0, 3000).Draw(t, "high")), smooth: rapid.Float64Range(0, 3000).Draw(t, "smooth"),
			}
			owed += max(float64(w.least), min(float64(w.nominal), w.high))
			wishes = append(wishes, w)
		}
		sum := 0
		for i, n := range lend(total, wishes) {
			w := wishes[i]
			if n < w.least || float64(n) < min(float64(w.nominal), w.high)-0.5 || n > w.most {
				t.Fatalf("%+v of %d got %d", w, total, n)
			}
			sum += n
		}
		if float64(sum) > max(float64(total), owed)+float64(len(wishes)) {
			t.Fatalf("%d of %d were given, and %.0f owed", sum, total, owed)
		}
	})
}

func TestDemand(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	var d demand
	d.change(4, at)
	d.change(-2, at.Add(5*time.Second))
	mean, deviation, high := d.period(at.Add(10 * time.Second))
	if mean != 3 || deviation != 1 || high != 4 {
		t.Errorf("%v, %v, %v", mean, deviation, high)
	}
	d.change(3, at) // a clock that went back
	if mean, deviation, high = d.period(at.Add(10 * time.Second)); high != 5 || mean < 0 || deviation != deviation {
		t.Errorf("after a jump: %v, %v, %v", mean, deviation, high)
	}
	if got := expect(10, 2, 1); got < 9 || got > 10 {
		t.Errorf("what is expected falls to %v at once", got)
	}
	if got := expect(1, 9, 1); got != 10 {
		t.Errorf("what is expected rises to %v only", got)
	}
}
