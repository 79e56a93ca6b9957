package ipalloc

import (
	"errors"
	"iter"
	"math"
	"math/big"
	"net/netip"
)

// Errors of a single allocation, in upstream's words.
var (
	errFull          = errors.New("range is full")
	errIPAllocated   = errors.New("provided IP is already allocated")
	errPortAllocated = errors.New("provided port is already allocated")
	errNoRange       = errors.New("the provided network does not match the current range")
)

// bandOffset is where the upper band of a range of size items begins: a
// fraction of the range, within bounds.
func bandOffset(size, step, least, most uint64) uint64 {
	if size < least {
		return 0
	}
	return min(max(least, size/step), most)
}

// ipOffset and portOffset are the bands of addresses and of node ports.
func ipOffset(size uint64) uint64   { return bandOffset(size, 16, 16, 256) }
func portOffset(size uint64) uint64 { return bandOffset(size, 32, 16, 128) }

// candidates visits every number below size once: the upper band first, each
// band from a place that random(n) in [0,n) chooses.
func candidates(size, offset uint64, random func(n uint64) uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, band := range [][2]uint64{{offset, size}, {0, offset}} {
			n := band[1] - band[0]
			if n == 0 {
				continue
			}
			start := random(n)
			for i := range n {
				if !yield(band[0] + (start+i)%n) {
					return
				}
			}
		}
	}
}

// addressRange are the addresses of a prefix that may be given: all but the
// one that names the network and, with IPv4, the one that means everybody.
type addressRange struct {
	prefix netip.Prefix
	first  *big.Int
	size   uint64
}

func newAddressRange(p netip.Prefix) addressRange {
	p = p.Masked()
	bits := p.Addr().BitLen() - p.Bits()
	size := uint64(math.MaxInt64)
	if bits < 63 {
		size = 1 << bits
	}
	size -= min(size, 1)
	if p.Addr().Is4() {
		size -= min(size, 1)
	}
	first := new(big.Int).SetBytes(p.Addr().AsSlice())
	return addressRange{p, first.Add(first, big.NewInt(1)), size}
}

// at is the address with a number.
func (r addressRange) at(i uint64) netip.Addr {
	n := new(big.Int).Add(r.first, new(big.Int).SetUint64(i))
	buf := make([]byte, r.prefix.Addr().BitLen()/8)
	a, _ := netip.AddrFromSlice(n.FillBytes(buf))
	return a
}

// contains reports whether the address may be given.
func (r addressRange) contains(a netip.Addr) bool {
	if !r.prefix.Contains(a) {
		return false
	}
	n := new(big.Int).SetBytes(a.AsSlice())
	n.Sub(n, r.first)
	return n.Sign() >= 0 && n.Cmp(new(big.Int).SetUint64(r.size)) < 0
}
