package proxy

import (
	"net/netip"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/knftables"
)

func ports(texts ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range texts {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func front(addr string, port uint16, scope Scope, targets ...string) *Front {
	f := &Front{
		Key:     Key{Protocol: v1.ProtocolTCP, Port: port},
		Service: types.NamespacedName{Namespace: "default", Name: "web"}, Scope: scope, Targets: ports(targets...),
	}
	if addr != "" {
		f.Addr = netip.MustParseAddr(addr)
	}
	return f
}

func apply(t *testing.T, tab *table, fs ...*Front) {
	t.Helper()
	d := newDelta()
	for _, f := range fs {
		d.fronts[f.Key] = f
	}
	if err := tab.apply(t.Context(), d.fronts, d.hairpins); err != nil {
		t.Fatal(err)
	}
}

// One endpoint less is three entries changed, and a chain that nobody needs.
func TestChangeIsSmall(t *testing.T) {
	t.Parallel()
	tab := newTable(knftables.NewFake(knftables.IPv4Family, DefaultTable), false, nil)
	apply(t, tab, front("10.43.0.1", 80, Internal, "10.42.0.2:8080", "10.42.0.3:8080", "10.42.0.4:8080"))
	tx := tab.nft.NewTransaction()
	w := writer{table: tab, tx: tx, before: map[element]int{}}
	f := front("10.43.0.1", 80, Internal, "10.42.0.3:8080", "10.42.0.4:8080")
	w.change(f.Key, f)
	w.finish()
	const want = `add chain ip proa-services pick-tcp-2
add rule ip proa-services pick-tcp-2 dnat ip to ip daddr . tcp dport . numgen random mod 2 map @endpoints-tcp
delete element ip proa-services endpoints-tcp { 10.43.0.1 . 80 . 0 }
delete element ip proa-services endpoints-tcp { 10.43.0.1 . 80 . 2 }
delete element ip proa-services services { 10.43.0.1 . tcp . 80 }
add element ip proa-services endpoints-tcp { 10.43.0.1 . 80 . 0 : 10.42.0.4 . 8080 }
add element ip proa-services services { 10.43.0.1 . tcp . 80 : goto pick-tcp-2 }
flush chain ip proa-services pick-tcp-3
delete chain ip proa-services pick-tcp-3
`
	if got := tx.String(); got != want {
		t.Errorf("the transaction is\n%s", got)
	}
}
