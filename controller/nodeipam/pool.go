package nodeipam

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
)

// maxRanges bounds the record of a pool: two to the power of sixteen ranges, as
// upstream does.
const maxRanges = 1 << 16

// errFull means that every range is taken.
var errFull = errors.New("CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range")

// pool is one range of the cluster, cut into ranges of equal size for nodes.
type pool struct {
	whole netip.Prefix
	bits  int // length of a node's prefix
	// users counts who has a part of each range. More than one is possible
	// where somebody else gave ranges away.
	users []int32
	// next is where the search begins: behind the range given last.
	next int
}

func newPool(whole netip.Prefix, bits int) (*pool, error) {
	switch {
	case !whole.IsValid() || whole != whole.Masked():
		return nil, fmt.Errorf("cluster CIDR %s is not a network address", whole)
	case bits < whole.Bits() || bits > whole.Addr().BitLen():
		return nil, fmt.Errorf("a node's ranges of /%d cannot be cut out of %s", bits, whole)
	case bits-whole.Bits() > 16:
		return nil, fmt.Errorf("cluster CIDR %s has more than %d ranges of /%d: choose a smaller one, or larger ranges for nodes", whole, maxRanges, bits)
	}
	return &pool{whole: whole, bits: bits, users: make([]int32, 1<<(bits-whole.Bits()))}, nil
}

// at is the range with a number.
func (p *pool) at(i int) netip.Prefix {
	n := new(big.Int).SetBytes(p.whole.Addr().AsSlice())
	n.Add(n, new(big.Int).Lsh(big.NewInt(int64(i)), uint(p.whole.Addr().BitLen()-p.bits)))
	raw := n.FillBytes(make([]byte, p.whole.Addr().BitLen()/8))
	a, _ := netip.AddrFromSlice(raw) // of the right length
	return netip.PrefixFrom(a, p.bits)
}

// span is which numbers a prefix touches; none where it lies outside.
func (p *pool) span(x netip.Prefix) (from, to int) {
	if !x.IsValid() || !p.whole.Overlaps(x) {
		return 0, 0
	}
	if x.Bits() <= p.whole.Bits() {
		return 0, len(p.users)
	}
	offset := new(big.Int).SetBytes(x.Masked().Addr().AsSlice())
	offset.Sub(offset, new(big.Int).SetBytes(p.whole.Addr().AsSlice()))
	offset.Rsh(offset, uint(p.whole.Addr().BitLen()-p.bits))
	from = int(offset.Int64())
	if x.Bits() >= p.bits {
		return from, from + 1
	}
	return from, from + 1<<(p.bits-x.Bits())
}

// count adds to (1) or takes from (-1) the users of what x touches.
func (p *pool) count(x netip.Prefix, by int32) {
	for from, to := p.span(x); from < to; from++ {
		p.users[from] += by
	}
}

// free finds a range that nobody has, the first behind the last one given.
func (p *pool) free() (netip.Prefix, error) {
	for i := range p.users {
		n := (p.next + i) % len(p.users)
		if p.users[n] == 0 {
			p.next = (n + 1) % len(p.users)
			return p.at(n), nil
		}
	}
	return netip.Prefix{}, errFull
}
