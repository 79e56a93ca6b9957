package proxy

import "net/netip"

// slots number the endpoints of a front from zero without a gap, as a random
// number picks them.
type slots []netip.AddrPort

// with returns slots for the wanted endpoints in which as many as possible keep
// their number: what is new fills holes, and the last ones move into those that
// remain.
func (s slots) with(want []netip.AddrPort) slots {
	wanted := make(map[netip.AddrPort]bool, len(want))
	for _, a := range want {
		wanted[a] = true
	}
	out := make(slots, len(s), max(len(s), len(want)))
	var holes []int
	for i, a := range s {
		if wanted[a] {
			out[i] = a
			delete(wanted, a)
		} else {
			holes = append(holes, i)
		}
	}
	for _, a := range want { // in order, so that the result is always the same
		switch {
		case !wanted[a]:
		case len(holes) > 0:
			out[holes[0]], holes = a, holes[1:]
		default:
			out = append(out, a)
		}
	}
	for len(holes) > 0 {
		last := len(out) - 1
		if hole := holes[len(holes)-1]; hole == last {
			holes = holes[:len(holes)-1]
		} else {
			out[holes[0]], holes = out[last], holes[1:]
		}
		out = out[:last]
	}
	return out
}
