package ingress

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"proa/network/edge"
)

// resolve finds the endpoints of a port of a service, which is nil where there is
// none, and what is wrong with it, or "". That it has no endpoint is not wrong.
func resolve(r ref, s *v1.Service, all []*discoveryv1.EndpointSlice) (edge.Endpoints, string) {
	if s == nil {
		return edge.Endpoints{}, fmt.Sprintf("there is no service %q", r.service.Name)
	}
	if s.Spec.Type == v1.ServiceTypeExternalName {
		return edge.Endpoints{}, fmt.Sprintf("service %q is an external name, which is not followed", r.service.Name)
	}
	i := slices.IndexFunc(s.Spec.Ports, func(p v1.ServicePort) bool {
		if r.port.Name != "" {
			return p.Name == r.port.Name
		}
		return p.Port == r.port.Number && cmp.Or(p.Protocol, v1.ProtocolTCP) == v1.ProtocolTCP
	})
	if i < 0 {
		return edge.Endpoints{}, fmt.Sprintf("service %q has no such TCP port: %s", r.service.Name, r)
	}
	port := &s.Spec.Ports[i]
	return edge.Endpoints{Protocol: protocolOf(ptr.Deref(port.AppProtocol, "")), Addresses: addresses(port.Name, all)}, ""
}

func protocolOf(appProtocol string) edge.Protocol {
	switch appProtocol {
	case "kubernetes.io/h2c", "grpc", "h2c":
		return edge.H2C
	case "https", "kubernetes.io/wss":
		return edge.HTTPS
	}
	return edge.HTTP
}

// addresses are those of the ready endpoints, in order; where none is ready, those
// that still serve while they end, as the service proxy has it.
func addresses(port string, all []*discoveryv1.EndpointSlice) []netip.AddrPort {
	var ready, ending []netip.AddrPort
	for _, slice := range all {
		for _, p := range slice.Ports {
			if ptr.Deref(p.Name, "") != port || p.Port == nil || ptr.Deref(p.Protocol, v1.ProtocolTCP) != v1.ProtocolTCP {
				continue
			}
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				for _, text := range e.Addresses {
					a, err := netip.ParseAddr(text)
					if err != nil || !reachable(a) {
						continue
					}
					at := netip.AddrPortFrom(a, uint16(*p.Port))
					switch c := e.Conditions; {
					case ptr.Deref(c.Ready, true):
						ready = append(ready, at)
					case ptr.Deref(c.Serving, false) && ptr.Deref(c.Terminating, false):
						ending = append(ending, at)
					}
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = ending
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

// reachable tells whether an address may be that of an endpoint. The API refuses
// the others; here they would lead into this node.
func reachable(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsLoopback()
}
