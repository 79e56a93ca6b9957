package main

import "testing"

func TestParseCores(t *testing.T) {
	t.Parallel()
	before, err := parseCores("cpu  10 20 30 400 100 1 2 3 9 9\ncpu0 1 2\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (cores{idle: 500, total: 566}); before != want {
		t.Fatalf("got %+v, want %+v", before, want)
	}
	after := cores{idle: before.idle + 25, total: before.total + 100}
	if got := after.busySince(before); got != 75 {
		t.Errorf("busy %v %%, want 75", got)
	}
	if got := before.busySince(before); got != 0 {
		t.Errorf("busy %v %% of no time, want 0", got)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu a 2 3 4 5 6 7 8"} {
		if _, err := parseCores(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
