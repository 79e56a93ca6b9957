package nodeipam

import (
	"net/netip"
	"slices"
)

// ledger knows which node has which ranges: those seen on Node objects, and
// those given but not seen yet. It decides; it does nothing. Not safe for
// concurrent use.
type ledger struct {
	pools []*pool
	nodes map[string][]netip.Prefix
	// waiting are nodes that found every range taken.
	waiting map[string]bool
}

func newLedger(ranges []Range) (*ledger, error) {
	l := &ledger{nodes: map[string][]netip.Prefix{}, waiting: map[string]bool{}}
	for _, r := range ranges {
		p, err := newPool(r.CIDR, r.NodeBits)
		if err != nil {
			return nil, err
		}
		l.pools = append(l.pools, p)
	}
	return l, nil
}

// occupy records what a node has. With nothing it changes nothing: the object
// may be older than what the node was given here.
func (l *ledger) occupy(node string, has []netip.Prefix) {
	if len(has) == 0 || slices.Equal(l.nodes[node], has) {
		return
	}
	l.count(l.nodes[node], -1)
	l.count(has, 1)
	l.nodes[node] = has
	delete(l.waiting, node)
}

// release takes back what a node had and returns the nodes that waited for it.
func (l *ledger) release(node string) []string {
	l.count(l.nodes[node], -1)
	delete(l.nodes, node)
	delete(l.waiting, node)
	var again []string
	for n := range l.waiting {
		again = append(again, n)
	}
	slices.Sort(again)
	clear(l.waiting)
	return again
}

// give returns the ranges of a node, one of each pool: those that it was given
// before, else new ones. With errFull the node waits for a release.
func (l *ledger) give(node string) ([]netip.Prefix, error) {
	if has := l.nodes[node]; len(has) > 0 {
		return has, nil
	}
	var out []netip.Prefix
	for _, p := range l.pools {
		r, err := p.free()
		if err != nil {
			l.waiting[node] = true
			return nil, err
		}
		out = append(out, r)
	}
	l.occupy(node, out)
	return out, nil
}

func (l *ledger) count(has []netip.Prefix, by int32) {
	for _, x := range has {
		for _, p := range l.pools {
			p.count(x, by)
		}
	}
}
