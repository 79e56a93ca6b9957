package proxy

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// Names in the table. Those of endpoints go on with the protocol.
const (
	mapServices               = "services"
	mapNodePorts              = "node-ports"
	mapEndpoints              = "endpoints"
	mapLocalEndpoints         = "local-endpoints"
	mapNodePortEndpoints      = "node-port-endpoints"
	mapLocalNodePortEndpoints = "local-node-port-endpoints"
	mapFirewall               = "firewalled"
	setRefused                = "refused"
	setRefusedNodePorts       = "refused-node-ports"
	setClusterIPs             = "cluster-ips"
	setHairpins               = "hairpins"
)

// masqueradeBit marks packets whose source address is to become the node's. It
// is the bit that upstream uses.
const (
	markForMasquerade = "meta mark set meta mark or 0x4000"
	markedMasquerade  = "meta mark and 0x4000 != 0"
	unmark            = "meta mark set meta mark xor 0x4000"
)

// table keeps the nftables table of one family. It knows what is in the kernel,
// because nobody else may write there, and changes only what differs. Not for
// concurrent use.
type table struct {
	nft knftables.Interface
	renderer
	v6 bool

	// stale means that what is in the kernel is not known: the table is made anew.
	stale  bool
	fronts map[Key]fronted
	// Several fronts share these; each is there as long as somebody uses it.
	uses map[element]int
}

func newTable(nft knftables.Interface, v6 bool, cidrs []netip.Prefix) *table {
	t := &table{nft: nft, v6: v6, stale: true, renderer: renderer{ip: "ip"}}
	if v6 {
		t.ip = "ip6"
	}
	for _, p := range cidrs {
		if p.Addr().Is6() == v6 {
			t.cidrs = append(t.cidrs, p)
		}
	}
	return t
}

// isSet tells the sets from the maps.
func isSet(name string) bool {
	switch name {
	case setRefused, setRefusedNodePorts, setClusterIPs, setHairpins:
		return true
	}
	return false
}

// apply brings fronts and hairpins into the kernel in one transaction. A front
// without a value goes. After an error the kernel has what it had before, and
// the table is made anew by the next apply, which must then be given all fronts
// and all addresses.
func (t *table) apply(ctx context.Context, changed map[Key]*Front, hairpins map[netip.Addr]int) error {
	tx := t.nft.NewTransaction()
	if t.stale {
		t.fronts, t.uses = map[Key]fronted{}, map[element]int{}
		t.base(tx)
	}
	w := writer{table: t, tx: tx, before: map[element]int{}}
	for _, k := range slices.SortedFunc(maps.Keys(changed), compareKeys) {
		w.change(k, changed[k])
	}
	for _, a := range slices.SortedFunc(maps.Keys(hairpins), netip.Addr.Compare) {
		w.use(element{setHairpins, a.String() + " . " + a.String()}, hairpins[a])
	}
	w.finish()
	if tx.NumOperations() == 0 {
		return nil
	}
	// Known only once the kernel has taken it.
	t.stale = true
	if err := t.nft.Run(ctx, tx); err != nil {
		return err
	}
	t.stale = false
	return nil
}

func compareKeys(a, b Key) int {
	if c := a.Addr.Compare(b.Addr); c != 0 {
		return c
	}
	if c := strings.Compare(string(a.Protocol), string(b.Protocol)); c != 0 {
		return c
	}
	return int(a.Port) - int(b.Port)
}
