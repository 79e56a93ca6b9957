package policy

import (
	"fmt"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// span is a range of addresses of one family, both ends included.
type span struct{ first, last netip.Addr }

func (s span) String() string {
	if s.first == s.last {
		return s.first.String()
	}
	return s.first.String() + "-" + s.last.String()
}

// spans are disjoint, in order, and no two of them touch.
type spans []span

// spansOf is what the blocks let in, one list for each family. Blocks that
// cannot be read let nothing in, and exceptions that cannot be read let their
// whole block out.
func spansOf(blocks []*networkingv1.IPBlock) (v4, v6 spans) {
	for _, b := range blocks {
		p, err := netip.ParsePrefix(b.CIDR)
		if err != nil || p.Addr().Is4In6() {
			continue
		}
		var except spans
		for _, text := range b.Except {
			e, err := netip.ParsePrefix(text)
			if err != nil {
				except = spans{spanOf(p)}
				break
			}
			except = append(except, spanOf(e))
		}
		left := subtract(spanOf(p), merge(except))
		if p.Addr().Is4() {
			v4 = append(v4, left...)
		} else {
			v6 = append(v6, left...)
		}
	}
	return merge(v4), merge(v6)
}

func spanOf(p netip.Prefix) span {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	end, _ := netip.AddrFromSlice(last)
	return span{p.Addr(), end}
}

// merge puts spans in order and joins those that overlap or touch.
func merge(all spans) spans {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b span) int { return a.first.Compare(b.first) })
	var out spans
	for _, s := range all {
		if n := len(out); n > 0 && s.first.BitLen() == out[n-1].first.BitLen() &&
			(s.first.Compare(out[n-1].last) <= 0 || s.first == out[n-1].last.Next()) {
			if out[n-1].last.Less(s.last) {
				out[n-1].last = s.last
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// subtract is what remains of s. The exceptions are merged.
func subtract(s span, except spans) spans {
	var out spans
	for _, e := range except {
		if e.first.BitLen() != s.first.BitLen() || e.last.Less(s.first) || s.last.Less(e.first) {
			continue
		}
		if s.first.Less(e.first) {
			out = append(out, span{s.first, e.first.Prev()})
		}
		if !e.last.Less(s.last) {
			return out
		}
		s.first = e.last.Next()
	}
	return append(out, s)
}

// stretch is a range of ports, both ends included.
type stretch struct{ first, last int32 }

func (s stretch) String() string {
	if s.first == s.last {
		return fmt.Sprint(s.first)
	}
	return fmt.Sprintf("%d-%d", s.first, s.last)
}

// mergePorts puts ranges of ports in order and joins those that overlap or
// touch.
func mergePorts(all []stretch) []stretch {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b stretch) int { return int(a.first - b.first) })
	var out []stretch
	for _, s := range all {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}
