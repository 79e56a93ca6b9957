package job

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestIndexes(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"": "", "0": "0", "0,1": "0,1", "0,1,2": "0-2", "1,3-5,7": "1,3-5,7", "1,2,3-4": "1-4",
		"8-20": "8,9", "3,99": "3", "x,2,y-z,-1": "2", "5-3": "",
	} {
		if got := parseIndexes(list, 10).String(); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// TestIndexesAreASet: against plain sets of numbers.
func TestIndexesAreASet(t *testing.T) {
	t.Parallel()
	const n = 40
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		some := func() (indexes, map[int]bool) {
			set := map[int]bool{}
			var list []int
			for range random.IntN(n) {
				i := random.IntN(n)
				set[i] = true
				list = append(list, i)
			}
			return indexes(nil).with(list...), set
		}
		x, a := some()
		y, b := some()
		both, common := map[int]bool{}, 0
		var missing []int
		for i := range n {
			if a[i] || b[i] {
				both[i] = true
			}
			if a[i] && b[i] {
				common++
			}
			if !a[i] {
				missing = append(missing, i)
			}
			if x.has(i) != a[i] {
				t.Fatalf("seed %d: %v has %d: %t", seed, x, i, x.has(i))
			}
		}
		u := x.union(y)
		for i := range n {
			if u.has(i) != both[i] {
				t.Fatalf("seed %d: %v and %v: %v", seed, x, y, u)
			}
		}
		few := random.IntN(n)
		if x.count() != len(a) || u.count() != len(both) || x.common(y) != common ||
			!slices.Equal(x.missing(few, n), missing[:min(few, len(missing))]) || parseIndexes(u.String(), n).String() != u.String() {
			t.Fatalf("seed %d: %v, %v: %d, %d, %v", seed, x, y, x.count(), x.common(y), x.missing(few, n))
		}
	}
	if got := fmt.Sprint(indexes(nil).missing(3, 1_000_000_000)); got != "[0 1 2]" {
		t.Error(got)
	}
}
