package procs

import (
	"slices"
	"testing"
)

func TestParentOf(t *testing.T) {
	t.Parallel()
	for stat, want := range map[string]int{
		"12 (sh) S 7 12 12 0":           7,
		"12 (a) b (c) R 9 1 1":          9,
		"12 (evil) S 1 (x) S 42 12 12 ": 42,
		"12 (cut":                       0,
		"":                              0,
	} {
		if got := parentOf(stat); got != want {
			t.Errorf("%q: %d, want %d", stat, got, want)
		}
	}
}

func TestDescendants(t *testing.T) {
	t.Parallel()
	all := []Process{{PID: 1}, {PID: 10, Parent: 1}, {PID: 11, Parent: 10}, {PID: 12, Parent: 11}, {PID: 20, Parent: 1}}
	if got := Descendants(all, []int{10}); !slices.Equal(got, []int{10, 11, 12}) {
		t.Errorf("got %v", got)
	}
	if got := Descendants(all, nil); len(got) > 0 {
		t.Errorf("of nobody: %v", got)
	}
}
