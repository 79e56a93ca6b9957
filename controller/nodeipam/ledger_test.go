package nodeipam

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func ledgerOf(t testing.TB, cidrs ...string) *ledger {
	t.Helper()
	var all []netip.Prefix
	for _, c := range cidrs {
		all = append(all, netip.MustParsePrefix(c))
	}
	l, err := newLedger(Ranges(all...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func given(t testing.TB, l *ledger, node string) string {
	t.Helper()
	got, err := l.give(node)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(got)
}

func TestGive(t *testing.T) {
	t.Parallel()
	l := ledgerOf(t, "10.42.0.0/22")
	l.occupy("theirs", []netip.Prefix{netip.MustParsePrefix("10.42.1.128/25")})
	for _, step := range []struct{ node, want string }{
		{"a", "[10.42.0.0/24]"},
		{"b", "[10.42.2.0/24]"}, // the one between is in part somebody's
		{"a", "[10.42.0.0/24]"}, // asked again before the object shows it
		{"c", "[10.42.3.0/24]"},
		{"d", errFull.Error()},
	} {
		if got := given(t, l, step.node); got != step.want {
			t.Errorf("%s: %s, want %s", step.node, got, step.want)
		}
	}
	if again := l.release("b"); !slices.Equal(again, []string{"d"}) {
		t.Errorf("after the release of b: %v", again)
	}
	if got := given(t, l, "d"); got != "[10.42.2.0/24]" {
		t.Errorf("d: %s", got)
	}
}

// A range that came free rests while others are left.
func TestReleasedRangeRests(t *testing.T) {
	t.Parallel()
	l := ledgerOf(t, "10.42.0.0/16", "fd00:42::/56")
	if got := given(t, l, "a"); got != "[10.42.0.0/24 fd00:42::/64]" {
		t.Fatal(got)
	}
	l.release("a")
	if got := given(t, l, "b"); got != "[10.42.1.0/24 fd00:42:0:1::/64]" {
		t.Error(got)
	}
	// A small cluster is a single part.
	if got := given(t, ledgerOf(t, "10.9.0.0/26"), "only"); got != "[10.9.0.0/26]" {
		t.Error(got)
	}
}

func TestPoolLimits(t *testing.T) {
	t.Parallel()
	for _, bad := range []Range{
		{CIDR: netip.MustParsePrefix("10.0.0.1/8"), NodeBits: 24},
		{CIDR: netip.MustParsePrefix("10.0.0.0/24"), NodeBits: 16},
		{CIDR: netip.MustParsePrefix("10.0.0.0/8"), NodeBits: 26},
		{CIDR: netip.MustParsePrefix("fd00::/40"), NodeBits: 64},
	} {
		if _, err := newLedger([]Range{bad}); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

// However nodes come and go, no two have overlapping ranges, and none is refused
// while one is free.
func TestNeverShared(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := smallLedger(t)
		held := map[string]netip.Prefix{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := fmt.Sprintf("n%d", rapid.IntRange(0, 9).Draw(t, "node"))
			if rapid.Bool().Draw(t, "release") {
				l.release(name)
				delete(held, name)
				continue
			}
			got, err := l.give(name)
			if err != nil {
				if len(held) < 8 {
					t.Fatalf("%s is refused with %d of 8 held", name, len(held))
				}
				continue
			}
			held[name] = got[0]
			for other, p := range held {
				if other != name && p.Overlaps(got[0]) {
					t.Fatalf("%s and %s share %s", name, other, p)
				}
			}
		}
	})
}

func smallLedger(t *rapid.T) *ledger {
	l, err := newLedger(Ranges(netip.MustParsePrefix("10.0.0.0/21")))
	if err != nil {
		t.Fatal(err)
	}
	return l
}
