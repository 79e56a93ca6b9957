package proxy

import (
	"cmp"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// Node is the machine that the proxy works for.
type Node struct {
	Name string
	// Zone is the value of the node's topology.kubernetes.io/zone label.
	Zone string
}

// endpoint is an address behind one port of a service.
type endpoint struct {
	netip.AddrPort
	local              bool // on this node
	ready              bool
	serving, finishing bool
	zones, nodes       []string // that it is meant for, if any
}

// usable refuses addresses that lead to the node itself or to its neighbours
// only, whatever wrote them (CVE-2021-25737).
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// endpointsOf collects the endpoints of one port of a service, sorted, without
// repetition. An address that is listed twice counts as it is ready once: a pod
// moves from one slice to another in two writes.
func endpointsOf(port *v1.ServicePort, v6 bool, all []*discoveryv1.EndpointSlice, node Node) []endpoint {
	family := discoveryv1.AddressTypeIPv4
	if v6 {
		family = discoveryv1.AddressTypeIPv6
	}
	var out []endpoint
	for _, s := range all {
		if s.AddressType != family {
			continue
		}
		number, ok := slicePort(s, port)
		if !ok {
			continue
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			// All addresses of an endpoint are the same one; the first is used.
			if len(e.Addresses) == 0 {
				continue
			}
			a, err := netip.ParseAddr(e.Addresses[0])
			if err != nil || a.Is6() != v6 || !usable(a) {
				continue
			}
			out = append(out, newEndpoint(e, netip.AddrPortFrom(a, number), node))
		}
	}
	slices.SortFunc(out, func(a, b endpoint) int {
		return cmp.Or(a.AddrPort.Compare(b.AddrPort), rank(a)-rank(b))
	})
	return slices.CompactFunc(out, func(a, b endpoint) bool { return a.AddrPort == b.AddrPort })
}

func slicePort(s *discoveryv1.EndpointSlice, port *v1.ServicePort) (uint16, bool) {
	for _, p := range s.Ports {
		if p.Port == nil || *p.Port < 1 || *p.Port > 65535 {
			continue
		}
		if ptr.Deref(p.Name, "") == port.Name && ptr.Deref(p.Protocol, v1.ProtocolTCP) == protocolOf(port) {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func protocolOf(p *v1.ServicePort) v1.Protocol { return cmp.Or(p.Protocol, v1.ProtocolTCP) }

func newEndpoint(e *discoveryv1.Endpoint, addr netip.AddrPort, node Node) endpoint {
	c := e.Conditions
	ready := ptr.Deref(c.Ready, true)
	out := endpoint{
		AddrPort: addr,
		local:    e.NodeName != nil && *e.NodeName == node.Name,
		ready:    ready, serving: ptr.Deref(c.Serving, ready), finishing: ptr.Deref(c.Terminating, false),
	}
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			out.zones = append(out.zones, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			out.nodes = append(out.nodes, n.Name)
		}
	}
	return out
}

// rank orders the entries of one address, the best first.
func rank(e endpoint) int {
	switch {
	case e.ready && e.local:
		return 0
	case e.ready:
		return 1
	case e.serving:
		return 2
	}
	return 3
}

// choose returns those that new connections go to: the ready ones, and where
// there is none, those that end but still serve.
func choose(all []endpoint, local bool) []endpoint {
	var ready, finishing []endpoint
	for _, e := range all {
		switch {
		case local && !e.local:
		case e.ready:
			ready = append(ready, e)
		case e.serving && e.finishing:
			finishing = append(finishing, e)
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return finishing
}

// near keeps those of the ready endpoints that are meant for this node, or else
// for its zone, by the hints in the slices. Hints count only where every ready
// endpoint has one and one of them is for here; otherwise all are kept.
func near(chosen []endpoint, node Node) []endpoint {
	for _, level := range []struct {
		here  string
		hints func(endpoint) []string
	}{
		{node.Name, func(e endpoint) []string { return e.nodes }},
		{node.Zone, func(e endpoint) []string { return e.zones }},
	} {
		hinted, here := true, []endpoint(nil)
		for _, e := range chosen {
			hints := level.hints(e)
			hinted = hinted && e.ready && len(hints) > 0
			if slices.Contains(hints, level.here) {
				here = append(here, e)
			}
		}
		if level.here != "" && hinted && len(here) > 0 {
			return here
		}
	}
	return chosen
}

func addresses(es []endpoint) []netip.AddrPort {
	out := make([]netip.AddrPort, len(es))
	for i, e := range es {
		out[i] = e.AddrPort
	}
	return out
}
