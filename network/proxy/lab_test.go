package proxy

import (
	"net/netip"
	"testing"

	"sigs.k8s.io/knftables"

	"proa/network/networktest"
)

// lab is a node with real packets and real tables.
type lab struct{ *networktest.Lab }

func newLab(t *testing.T) lab { return lab{networktest.New(t)} }

// table makes a table in the node.
func (l lab) table(v6 bool, cidrs ...string) *table {
	l.T.Helper()
	family := knftables.IPv4Family
	if v6 {
		family = knftables.IPv6Family
	}
	var out *table
	l.Node.Within(func() {
		nft, err := knftables.New(family, DefaultTable)
		if err != nil {
			l.T.Error(err)
			return
		}
		var all []netip.Prefix
		for _, c := range cidrs {
			all = append(all, netip.MustParsePrefix(c))
		}
		out = newTable(nft, v6, all)
	})
	if out == nil {
		l.T.FailNow()
	}
	return out
}

func (l lab) apply(tab *table, d delta) {
	l.T.Helper()
	l.Node.Within(func() {
		if err := tab.apply(l.T.Context(), d.fronts, d.hairpins); err != nil {
			l.T.Error(err)
		}
	})
	if l.T.Failed() {
		l.T.FailNow()
	}
}
