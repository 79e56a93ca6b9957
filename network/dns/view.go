package dns

import (
	"context"
	"slices"

	"github.com/miekg/dns"
)

// view is a Corefile in the form in which questions are answered by it. It is never
// changed once made; what its forwarders remember goes with it.
type view struct{ blocks []*block }

// block is a server block: what is done with the names of its zones, by the steps in
// the order of their fields.
type block struct {
	zones    []string
	log      bool
	rewrites []rewrite
	hosts    []*hosts
	clusters []*cluster
	forwards []*forward
}

// cluster is a directive "kubernetes".
type cluster struct {
	zones   []*Zone
	reverse []string
	through through
}

// through are the zones whose names others may know where this one does not.
type through struct {
	on    bool
	zones []string // none: all
}

func (t through) lets(name string) bool {
	return t.on && (len(t.zones) == 0 || within(t.zones, name))
}

// within tells whether a name is in one of the zones.
func within(zones []string, name string) bool {
	return slices.ContainsFunc(zones, func(z string) bool { return dns.IsSubDomain(z, name) })
}

// find returns the block with the longest zone of a name, or nil.
func (v *view) find(name string) *block {
	var best *block
	labels := -1
	for _, b := range v.blocks {
		for _, z := range b.zones {
			if n := dns.CountLabel(z); n > labels && dns.IsSubDomain(z, name) {
				best, labels = b, n
			}
		}
	}
	return best
}

// answer is what is said to a question.
type answer struct {
	records, extra, ns []dns.RR
	rcode              int
	// exists tells an empty answer of a zone from a name that is not there.
	exists        bool
	authoritative bool
	// follow is a name that the answer leads to and that is yet to be resolved.
	follow string
}

// failure is an answer that nobody has.
func failure(rcode int) answer { return answer{rcode: rcode} }

// look answers for a name that is rewritten already.
func (b *block) look(ctx context.Context, name string, kind uint16) (answer, error) {
	for _, h := range b.hosts {
		if a, done := h.look(name, kind); done {
			return a, nil
		}
	}
	for _, c := range b.clusters {
		if a, done := c.look(name, kind); done {
			return a, nil
		}
	}
	for _, f := range b.forwards {
		if !f.takes(name) {
			continue
		}
		in, err := f.ask(ctx, dns.Question{Name: name, Qtype: kind, Qclass: dns.ClassINET})
		if err != nil {
			return failure(dns.RcodeServerFailure), err
		}
		return answer{records: in.Answer, ns: in.Ns, rcode: in.Rcode}, nil
	}
	return failure(dns.RcodeServerFailure), errNobody
}

// look answers for the cluster's own names. It reports false for those of others.
func (c *cluster) look(name string, kind uint16) (answer, bool) {
	var a answer
	var soa dns.RR
	if i := slices.IndexFunc(c.zones, func(z *Zone) bool { return z.owns(name) }); i >= 0 {
		a, soa = c.zones[i].Answer(name, kind), c.zones[i].soa()
	} else if within(c.reverse, name) {
		a, soa = c.zones[0].Reverse(name, kind), c.zones[0].soa()
	} else {
		return a, false
	}
	if !a.exists && c.through.lets(name) {
		return a, false
	}
	a.authoritative = true
	if a.follow == "" || kind == dns.TypeCNAME {
		if !a.exists {
			a.rcode = dns.RcodeNameError
		}
		if len(a.records) == 0 {
			a.ns = []dns.RR{soa}
		}
	}
	return a, true
}
