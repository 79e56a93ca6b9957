package dns

import (
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/miekg/dns"
)

// endpoint is an address of a headless service that has a name of its own.
type endpoint struct {
	addr  netip.Addr
	host  string
	ports []port
}

type port struct {
	name, protocol string
	number         uint16
}

// endpoints are the ready ones of all slices of a service, once each. (Those of
// a service that publishes what is not ready say that they are.)
func endpoints(all []*discoveryv1.EndpointSlice) []endpoint {
	var out []endpoint
	at := map[netip.Addr]int{}
	for _, s := range all {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		var ports []port
		for _, p := range s.Ports {
			if p.Port != nil {
				ports = append(ports, port{ptr.Deref(p.Name, ""), string(ptr.Deref(p.Protocol, v1.ProtocolTCP)), uint16(*p.Port)})
			}
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if !ptr.Deref(e.Conditions.Ready, true) {
				continue
			}
			for _, text := range e.Addresses {
				a, err := netip.ParseAddr(text)
				if err != nil {
					continue
				}
				if n, ok := at[a]; ok {
					out[n].ports = append(out[n].ports, ports...) // a named port that differs between pods
					continue
				}
				at[a] = len(out)
				out = append(out, endpoint{addr: a, host: hostOf(e, a), ports: ports[:len(ports):len(ports)]})
			}
		}
	}
	return out
}

func hostOf(e *discoveryv1.Endpoint, a netip.Addr) string {
	if h := ptr.Deref(e.Hostname, ""); h != "" {
		return strings.ToLower(h)
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

// reversed reads the address that a reverse name stands for.
func reversed(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		l := strings.Split(digits, ".")
		if len(l) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(l[3] + "." + l[2] + "." + l[1] + "." + l[0])
		return a, err == nil
	}
	digits, ok := strings.CutSuffix(name, ".ip6.arpa.")
	l := dns.SplitDomainName(digits)
	if !ok || len(l) != 32 {
		return netip.Addr{}, false
	}
	var text strings.Builder
	for i := len(l) - 1; i >= 0; i-- {
		if len(l[i]) != 1 {
			return netip.Addr{}, false
		}
		text.WriteString(l[i])
		if i > 0 && i%4 == 0 {
			text.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(text.String())
	return a, err == nil
}
