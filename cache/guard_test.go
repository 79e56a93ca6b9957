package cache_test

import (
	"fmt"
	"testing"

	"proa/cache"
)

// A change in place is found in what was replaced and removed since, however
// long ago.
func TestGuard(t *testing.T) {
	t.Parallel()
	h := start(t, newMemory(t), cache.Options{Guard: 4})
	pods := h.Cache(podDef())
	ctx := t.Context()
	first := create(t, pods, pod("ns", "replaced", ""))
	second := create(t, pods, pod("ns", "removed", ""))
	third := create(t, pods, pod("ns", "untouched", ""))
	// What readers have in hand.
	if got := must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{})).Entries; len(got) == 3 {
		second, first = got[0], got[1] // by name
	}
	if _, err := pods.Update(ctx, first, pod("ns", "replaced", "n"), 0); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*cache.Entry{second, third} {
		if _, err := pods.Delete(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pods.List(ctx, cache.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	if bad := h.Mutated(); len(bad) > 0 {
		t.Fatal("found without a change:", bad)
	}
	first.Object.SetLabels(map[string]string{"changed": "in place"})
	second.Object.SetAnnotations(map[string]string{"changed": "in place"})
	want := fmt.Sprint([]string{first.Key, second.Key})
	if bad := fmt.Sprint(h.Mutated()); bad != want {
		t.Errorf("found %s, want %s", bad, want)
	}
	// Past the number that is kept.
	for i := range 8 {
		e := create(t, pods, pod("ns", fmt.Sprint("later-", i), ""))
		if _, err := pods.Delete(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pods.List(ctx, cache.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	if bad := fmt.Sprint(h.Mutated()); bad != want {
		t.Errorf("found %s later, want %s", bad, want)
	}
}
