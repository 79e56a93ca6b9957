package hollow

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// MaxNodes is how many nodes the ranges of addresses have room for.
const MaxNodes = 1<<17 - 2

// nodeAddress of the i-th node, below 198.18.0.0/15.
func nodeAddress(i int) string { return address(198<<24|18<<16, i+1).String() }

// address adds an offset to the first address of a range.
func address(first uint32, offset int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], first+uint32(offset))
	return netip.AddrFrom4(b)
}

// podAddress is the k-th address for pods of the i-th node, of a /24 below
// 240.0.0.0/4 whose first two are not for pods.
func podAddress(i, k int) string { return address(240<<24, i<<8+k+2).String() }

// slotOf is the inverse of podAddress, or -1.
func slotOf(i int, ip string) int {
	a, err := netip.ParseAddr(ip)
	if err != nil || !a.Is4() {
		return -1
	}
	b := a.As4()
	k := int(binary.BigEndian.Uint32(b[:])) - (240<<24 + i<<8 + 2)
	if k < 0 || k >= maxSlots {
		return -1
	}
	return k
}

// slots are the addresses of one node that are taken.
type slots [4]uint64

// maxSlots leaves out a range's first two addresses and its last.
const maxSlots = 253

// take returns the lowest that is free, or false where none is.
func (s *slots) take() (int, bool) {
	for w := range s {
		if free := bits.TrailingZeros64(^s[w]); free < 64 && w*64+free < maxSlots {
			s[w] |= 1 << free
			return w*64 + free, true
		}
	}
	return 0, false
}

func (s *slots) hold(k int)    { s[k/64] |= 1 << (k % 64) }
func (s *slots) release(k int) { s[k/64] &^= 1 << (k % 64) }
