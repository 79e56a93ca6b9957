package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
)

// defaultTTL is for how long clients may keep what they are told, in seconds.
const defaultTTL = 5

// specification is the version of the DNS specification of Kubernetes.
const specification = "1.1.0"

// Zone is the cluster's domain and the reverse names of its addresses.
type Zone struct {
	domain string // fully qualified
	source source
	ttl    uint32 // of all records
	pods   bool   // whether there are names of pods' addresses
}

// owns reports whether the zone is the one to answer. Reverse names are its
// own only where it knows the address.
func (z *Zone) owns(name string) bool { return dns.IsSubDomain(z.domain, name) }

// Answer looks a name up; it is fully qualified and in lower case.
func (z *Zone) Answer(name string, kind uint16) answer {
	rest := strings.TrimSuffix(strings.TrimSuffix(name, z.domain), ".")
	var labels []string
	if rest != "" {
		labels = strings.Split(rest, ".")
	}
	n := len(labels)
	switch {
	case n == 0:
		a := answer{exists: true}
		if kind == dns.TypeSOA {
			a.records = []dns.RR{z.soa()}
		}
		return a
	case n == 1 && labels[0] == "dns-version":
		a := answer{exists: true}
		if kind == dns.TypeTXT {
			a.records = []dns.RR{&dns.TXT{Hdr: z.header(name, dns.TypeTXT), Txt: []string{specification}}}
		}
		return a
	case labels[n-1] == "svc":
		return z.inServices(name, kind, labels[:n-1])
	case labels[n-1] == "pod" && z.pods:
		return z.inPods(name, kind, labels[:n-1])
	}
	return answer{}
}

// inServices answers what is left of .svc: [[[_port _proto | host] service] namespace].
func (z *Zone) inServices(name string, kind uint16, labels []string) answer {
	n := len(labels)
	if n == 0 {
		return answer{exists: true}
	}
	namespace := labels[n-1]
	if n == 1 {
		return answer{exists: z.source.namespace(namespace)}
	}
	s := z.source.service(namespace, labels[n-2])
	if s == nil {
		return answer{}
	}
	if s.Spec.Type == v1.ServiceTypeExternalName {
		if n > 2 {
			return answer{}
		}
		target := dns.Fqdn(s.Spec.ExternalName)
		return answer{exists: true, follow: target, records: []dns.RR{&dns.CNAME{Hdr: z.header(name, dns.TypeCNAME), Target: target}}}
	}
	switch prefix := labels[:n-2]; {
	case len(prefix) == 0:
		return z.service(name, kind, s)
	case len(prefix) == 1 && !strings.HasPrefix(prefix[0], "_"):
		return z.host(name, kind, s, prefix[0])
	case len(prefix) == 1:
		// The parent of the ports: empty, but there.
		return answer{exists: z.hasPort(s, "", strings.TrimPrefix(prefix[0], "_"))}
	case len(prefix) == 2 && strings.HasPrefix(prefix[0], "_") && strings.HasPrefix(prefix[1], "_"):
		return z.port(name, kind, s, prefix[0][1:], prefix[1][1:])
	}
	return answer{}
}

func headless(s *v1.Service) bool { return s.Spec.ClusterIP == v1.ClusterIPNone }

func (z *Zone) service(name string, kind uint16, s *v1.Service) answer {
	if headless(s) {
		es := endpoints(z.source.slicesOf(s.Namespace, s.Name))
		// Without an endpoint there is no such name.
		a := answer{exists: len(es) > 0}
		for _, e := range es {
			z.address(&a, name, kind, e.addr)
		}
		if kind == dns.TypeSRV {
			z.srv(&a, name, s, es, "", "")
		}
		return a
	}
	a := answer{exists: true}
	for _, text := range s.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			z.address(&a, name, kind, ip)
		}
	}
	if kind == dns.TypeSRV {
		z.srv(&a, name, s, nil, "", "")
	}
	return a
}

// host answers the name of one endpoint.
func (z *Zone) host(name string, kind uint16, s *v1.Service, host string) answer {
	var a answer
	if !headless(s) {
		return a
	}
	for _, e := range endpoints(z.source.slicesOf(s.Namespace, s.Name)) {
		if e.host == host {
			a.exists = true
			z.address(&a, name, kind, e.addr)
		}
	}
	return a
}

func (z *Zone) port(name string, kind uint16, s *v1.Service, port, protocol string) answer {
	var a answer
	var es []endpoint
	if headless(s) {
		es = endpoints(z.source.slicesOf(s.Namespace, s.Name))
	}
	a.exists = z.srv(&a, name, s, es, port, protocol)
	if kind != dns.TypeSRV {
		a.records, a.extra = nil, nil
	}
	return a
}

func (z *Zone) hasPort(s *v1.Service, port, protocol string) bool {
	for _, p := range s.Spec.Ports {
		if matches(p.Name, string(p.Protocol), port, protocol) {
			return true
		}
	}
	return false
}

// matches takes an empty name or protocol for any.
func matches(name, protocol, wantName, wantProtocol string) bool {
	return (wantName == "" || strings.EqualFold(name, wantName)) && (wantProtocol == "" || strings.EqualFold(protocol, wantProtocol))
}

// srv adds the records of the ports that match, and the addresses that they
// name. It reports whether there are any.
func (z *Zone) srv(a *answer, name string, s *v1.Service, es []endpoint, port, protocol string) bool {
	base := s.Name + "." + s.Namespace + ".svc." + z.domain
	add := func(number uint16, target string) {
		a.records = append(a.records, &dns.SRV{Hdr: z.header(name, dns.TypeSRV), Weight: 100, Port: number, Target: target})
	}
	if !headless(s) {
		for _, p := range s.Spec.Ports {
			if matches(p.Name, string(p.Protocol), port, protocol) {
				add(uint16(p.Port), base)
			}
		}
		if len(a.records) > 0 {
			for _, text := range s.Spec.ClusterIPs {
				if ip, err := netip.ParseAddr(text); err == nil {
					a.extra = append(a.extra, address(base, ip, z.ttl))
				}
			}
		}
		return len(a.records) > 0
	}
	for _, e := range es {
		target, found := e.host+"."+base, false
		for _, p := range e.ports {
			if matches(p.name, p.protocol, port, protocol) {
				add(p.number, target)
				found = true
			}
		}
		if found {
			a.extra = append(a.extra, address(target, e.addr, z.ttl))
		}
	}
	return len(a.records) > 0
}

// inPods answers what is left of .pod: [address] namespace.
func (z *Zone) inPods(name string, kind uint16, labels []string) answer {
	n := len(labels)
	if n == 0 {
		return answer{exists: true}
	}
	if n == 1 {
		return answer{exists: z.source.namespace(labels[0])}
	}
	if n > 2 || !z.source.namespace(labels[1]) {
		return answer{}
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(labels[0], "-", "."))
	if err != nil {
		if ip, err = netip.ParseAddr(strings.ReplaceAll(labels[0], "-", ":")); err != nil {
			return answer{}
		}
	}
	a := answer{exists: true}
	z.address(&a, name, kind, ip)
	return a
}

// Reverse answers a name below in-addr.arpa or ip6.arpa; it does not exist
// where the cluster does not know the address.
func (z *Zone) Reverse(name string, kind uint16) answer {
	ip, ok := reversed(name)
	if !ok {
		return answer{}
	}
	var a answer
	add := func(target string) {
		a.exists = true
		if kind == dns.TypePTR {
			a.records = append(a.records, &dns.PTR{Hdr: z.header(name, dns.TypePTR), Ptr: target + ".svc." + z.domain})
		}
	}
	for _, s := range z.source.servicesAt(ip) {
		add(s.Name + "." + s.Namespace)
	}
	if a.exists {
		return a
	}
	for _, slice := range z.source.slicesAt(ip) {
		owner := slice.Labels["kubernetes.io/service-name"]
		s := z.source.service(slice.Namespace, owner)
		if s == nil || !headless(s) {
			continue
		}
		for _, e := range endpoints(z.source.slicesOf(slice.Namespace, owner)) {
			if e.addr == ip {
				add(e.host + "." + owner + "." + slice.Namespace)
				break
			}
		}
		break
	}
	return a
}

// soa is the record that negative answers carry; its last number is for how
// long they hold.
func (z *Zone) soa() dns.RR {
	return &dns.SOA{
		Hdr: z.header(z.domain, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: z.ttl,
	}
}

func (z *Zone) header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: z.ttl}
}

func address(name string, ip netip.Addr, ttl uint32) dns.RR {
	h := dns.RR_Header{Name: name, Rrtype: dns.TypeAAAA, Class: dns.ClassINET, Ttl: ttl}
	if ip.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: ip.AsSlice()}
	}
	return &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()}
}

// address adds an address to an answer if it is of the kind that was asked for.
func (z *Zone) address(a *answer, name string, kind uint16, ip netip.Addr) {
	if r := address(name, ip, z.ttl); r.Header().Rrtype == kind {
		a.records = append(a.records, r)
	}
}
