package machine

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"sigs.k8s.io/knftables"
)

func TestFree(t *testing.T) {
	t.Parallel()
	l := LAN{Bridge: "b", Range: netip.MustParsePrefix("10.44.0.0/29")}
	var taken []netip.Addr
	for _, want := range []string{"10.44.0.2", "10.44.0.3", "10.44.0.4", "10.44.0.5", "10.44.0.6"} {
		a, err := l.Free(taken)
		if err != nil || a.String() != want {
			t.Fatalf("%s %v, want %s", a, err, want)
		}
		taken = append(taken, a)
	}
	if a, err := l.Free(taken); !errors.Is(err, ErrFull) {
		t.Errorf("%s %v", a, err)
	}
	if a, err := l.Free(taken[1:]); err != nil || a != taken[0] {
		t.Errorf("a hole is not found: %s %v", a, err)
	}
}

func TestLANRules(t *testing.T) {
	t.Parallel()
	l := LAN{Bridge: "b", Range: netip.MustParsePrefix("10.44.0.0/24")}
	nft := knftables.NewFake(knftables.InetFamily, l.table())
	for range 2 { // the second replaces
		if err := nft.Run(t.Context(), l.rules(nft.NewTransaction())); err != nil {
			t.Fatal(err)
		}
	}
	const rule = "ip saddr 10.44.0.0/24 ip daddr != { 224.0.0.0/4, 10.44.0.0/24 } oifname != b masquerade"
	if dump := nft.Dump(); strings.Count(dump, rule) != 1 {
		t.Errorf("got:\n%s", dump)
	}
}

// The cables of machines have names of their own, which the kernel takes.
func TestOuter(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, bridge := range []string{"proa0", "a-long-bridge-n"} {
		for _, name := range []string{"node-1", "node-11", strings.Repeat("x", 63)} {
			o := Machine{Name: name, LAN: LAN{Bridge: bridge}}.outer()
			if seen[o] || len(o) > 15 {
				t.Errorf("%s of %s: %s", name, bridge, o)
			}
			seen[o] = true
		}
	}
}
