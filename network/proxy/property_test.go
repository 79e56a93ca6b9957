package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/knftables"
)

// number is that of an endpoint, which depends on what was there before.
var number = regexp.MustCompile(`^(add element ip proa-services \S*endpoints-\S+ \{ .*) \. \d+ :`)

// content is what a table says, in an order and without numbers that have no
// meaning.
func content(nft *knftables.Fake) []string {
	var out []string
	for line := range strings.Lines(nft.Dump()) {
		line = number.ReplaceAllString(strings.TrimSpace(line), "$1 :")
		// The order of a sticky front's endpoints has no meaning either.
		if !strings.Contains(line, "sticky-pick") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// Many small changes give the table that one large change gives.
func TestIncrementIsCold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		nft := knftables.NewFake(knftables.IPv4Family, DefaultTable)
		tab, s := newTable(nft, false, nil), newState()
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			d := newDelta()
			for range rapid.IntRange(1, 3).Draw(t, "services") {
				name := types.NamespacedName{Namespace: "default", Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")}
				s.set(name, randomPlan(t, name), d)
			}
			change := d.of(false)
			if err := tab.apply(ctx, change.fronts, change.hairpins); err != nil {
				t.Fatal(err)
			}
			cold := knftables.NewFake(knftables.IPv4Family, DefaultTable)
			all := s.all().of(false)
			if err := newTable(cold, false, nil).apply(ctx, all.fronts, all.hairpins); err != nil {
				t.Fatal(err)
			}
			if got, want := content(nft), content(cold); !slices.Equal(got, want) {
				t.Fatalf("changed:\n%s\nmade anew:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			checkNumbers(t, tab)
		}
	})
}

// checkNumbers holds the numbering against what the fronts ask for.
func checkNumbers(t *rapid.T, tab *table) {
	for k, f := range tab.fronts {
		got := slices.SortedFunc(slices.Values(f.targets), netip.AddrPort.Compare)
		if !slices.Equal(got, f.Targets) {
			t.Fatalf("%s numbers %v, wanted %v", k, got, f.Targets)
		}
	}
}

// randomPlan draws fronts of few addresses, so that services clash.
func randomPlan(t *rapid.T, name types.NamespacedName) Plan {
	var p Plan
	targets := func(label string) []netip.AddrPort {
		out := []netip.AddrPort{}
		for i := range 5 {
			if rapid.Bool().Draw(t, label) {
				out = append(out, netip.MustParseAddrPort(fmt.Sprintf("10.42.0.%d:8080", i+2)))
			}
		}
		return out
	}
	for _, addr := range []string{"10.43.0.1", "10.43.0.2", ""} {
		if !rapid.Bool().Draw(t, "front") {
			continue
		}
		f := front(addr, 80, Scope(rapid.IntRange(0, 2).Draw(t, "scope")))
		f.Service, f.Targets = name, targets("target")
		if addr == "" && f.Scope == Internal {
			f.Scope = External
		}
		f.Protocol = rapid.SampledFrom([]v1.Protocol{v1.ProtocolTCP, v1.ProtocolUDP}).Draw(t, "protocol")
		if f.Scope == ExternalLocal {
			f.Local = targets("local")
		}
		f.Affinity = time.Duration(rapid.IntRange(0, 2).Draw(t, "affinity")) * time.Second
		if addr != "" && rapid.Bool().Draw(t, "firewall") {
			f.Sources = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}
		p.Fronts = append(p.Fronts, f)
	}
	if rapid.Bool().Draw(t, "here") {
		p.Local = []netip.Addr{netip.MustParseAddr("10.42.0.2")}
	}
	return p
}
