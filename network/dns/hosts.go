package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// hosts is a directive of that name: names and addresses as in /etc/hosts.
type hosts struct {
	zones   []string // none: all of the block
	names   map[string][]netip.Addr
	reverse map[netip.Addr][]string
	ttl     uint32
	through through
}

// add takes one line: an address and its names. It reports false for none.
func (h *hosts) add(words []string, reverse bool) bool {
	a, err := netip.ParseAddr(words[0])
	if err != nil || len(words) < 2 {
		return false
	}
	for _, w := range words[1:] {
		name := dns.CanonicalName(w)
		h.names[name] = append(h.names[name], a)
		if reverse {
			h.reverse[a] = append(h.reverse[a], name)
		}
	}
	return true
}

// look answers for the names that are in the list, and those that nobody else may
// answer for. It reports false for others.
func (h *hosts) look(name string, kind uint16) (answer, bool) {
	if len(h.zones) > 0 && !within(h.zones, name) {
		return answer{}, false
	}
	a := answer{authoritative: true}
	known := false
	if ip, ok := reversed(name); ok && strings.HasSuffix(name, ".arpa.") {
		for _, target := range h.reverse[ip] {
			known = true
			if kind == dns.TypePTR {
				a.records = append(a.records, &dns.PTR{Hdr: h.header(name, dns.TypePTR), Ptr: target})
			}
		}
	}
	for _, ip := range h.names[name] {
		known = true
		if r := address(name, ip, h.ttl); r.Header().Rrtype == kind {
			a.records = append(a.records, r)
		}
	}
	switch {
	case known:
		return a, true
	case h.through.lets(name):
		return answer{}, false
	}
	// There is no SOA by which the name could be denied.
	return failure(dns.RcodeServerFailure), true
}

func (h *hosts) header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: h.ttl}
}
