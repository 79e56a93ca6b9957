package proxy

import (
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// Plan is what one service asks of a node.
type Plan struct {
	Fronts []*Front
	// Local are the addresses of endpoints on this node. A connection from one
	// of them to itself needs another source address to find its way back.
	Local []netip.Addr
	// Health is the port on which load balancers ask whether this node has
	// endpoints, 0 for none; Ready is how many it has.
	Health uint16
	Ready  int
}

// Decide says what a service asks of a node. It is pure, and changes nothing of
// what it is given.
func Decide(s *v1.Service, all []*discoveryv1.EndpointSlice, node Node) Plan {
	var p Plan
	if s == nil || !proxied(s) {
		return p
	}
	if externalLocal(s) && s.Spec.HealthCheckNodePort > 0 {
		p.Health = uint16(s.Spec.HealthCheckNodePort)
	}
	healthy := map[netip.Addr]bool{}
	for i := range s.Spec.Ports {
		port := &s.Spec.Ports[i]
		for _, family := range families(s) {
			t := targetsOf(s, endpointsOf(port, family.v6, all, node), node)
			p.Fronts = append(p.Fronts, fronts(s, port, family, t)...)
			for _, a := range t.local {
				healthy[a.Addr()] = true
			}
			for _, a := range t.here {
				if !slices.Contains(p.Local, a) {
					p.Local = append(p.Local, a)
				}
			}
		}
	}
	p.Ready = len(healthy)
	slices.SortFunc(p.Local, netip.Addr.Compare)
	return p
}

// proxied leaves out services without an address of their own, and those that
// name another proxy.
func proxied(s *v1.Service) bool {
	if s.Spec.Type == v1.ServiceTypeExternalName || s.Spec.ClusterIP == "" || s.Spec.ClusterIP == v1.ClusterIPNone {
		return false
	}
	_, other := s.Labels[LabelProxyName]
	_, headless := s.Labels[v1.IsHeadlessService]
	return !other && !headless
}

// LabelProxyName is the label of services that another proxy serves.
const LabelProxyName = "service.kubernetes.io/service-proxy-name"

func externalLocal(s *v1.Service) bool {
	external := s.Spec.Type == v1.ServiceTypeNodePort || s.Spec.Type == v1.ServiceTypeLoadBalancer || len(s.Spec.ExternalIPs) > 0
	return external && s.Spec.ExternalTrafficPolicy == v1.ServiceExternalTrafficPolicyLocal
}

// family is one cluster IP of a service.
type family struct {
	ip netip.Addr
	v6 bool
}

func families(s *v1.Service) []family {
	ips := s.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{s.Spec.ClusterIP}
	}
	var out []family
	for _, text := range ips {
		if ip, err := netip.ParseAddr(text); err == nil {
			out = append(out, family{ip: ip, v6: ip.Is6()})
		}
	}
	return out
}

// targets are the endpoints of one port in one family, by who may use them.
type targets struct {
	internal, external []netip.AddrPort // behind the cluster IP, behind all else
	local              []netip.AddrPort // on this node
	here               []netip.Addr     // addresses of this node's among all
	silent             bool             // there are endpoints, but none that the cluster IP may use
}

func targetsOf(s *v1.Service, all []endpoint, node Node) targets {
	cluster, local := choose(all, false), choose(all, true)
	t := targets{external: addresses(near(cluster, node)), local: addresses(local)}
	t.internal = t.external
	if ptr.Deref(s.Spec.InternalTrafficPolicy, v1.ServiceInternalTrafficPolicyCluster) == v1.ServiceInternalTrafficPolicyLocal {
		t.internal = t.local
		t.silent = len(local) == 0 && len(cluster) > 0
	}
	for _, e := range all {
		if e.local {
			t.here = append(t.here, e.Addr())
		}
	}
	return t
}

// fronts are those of one port in one family.
func fronts(s *v1.Service, port *v1.ServicePort, f family, t targets) []*Front {
	base := Front{
		Service: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, Created: s.CreationTimestamp.Time,
		Affinity: affinity(s),
	}
	base.V6, base.Protocol = f.v6, protocolOf(port)
	var out []*Front
	if valid(port.Port) {
		c := base
		c.Addr, c.Port, c.Targets, c.Silent = f.ip, uint16(port.Port), t.internal, t.silent
		out = append(out, &c)
	}
	base.Scope, base.Targets = External, t.external
	if externalLocal(s) {
		base.Scope, base.Local = ExternalLocal, t.local
	}
	if valid(port.NodePort) {
		n := base
		n.Port = uint16(port.NodePort)
		out = append(out, &n)
	}
	if !valid(port.Port) {
		return out
	}
	base.Port = uint16(port.Port)
	if s.Spec.Type == v1.ServiceTypeLoadBalancer {
		for _, ip := range parse(balancerIPs(s), f.v6) {
			l := base
			l.Addr, l.Sources = ip, sources(s, f.v6)
			out = append(out, &l)
		}
	}
	for _, ip := range parse(s.Spec.ExternalIPs, f.v6) {
		e := base
		e.Addr = ip
		// An address that is the load balancer's as well keeps its firewall.
		if !slices.ContainsFunc(out, func(f *Front) bool { return f.Key == e.Key }) {
			out = append(out, &e)
		}
	}
	return out
}

func valid(port int32) bool { return port > 0 && port <= 65535 }

func affinity(s *v1.Service) time.Duration {
	if s.Spec.SessionAffinity != v1.ServiceAffinityClientIP {
		return 0
	}
	seconds := v1.DefaultClientIPServiceAffinitySeconds
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil {
		seconds = ptr.Deref(c.ClientIP.TimeoutSeconds, seconds)
	}
	return time.Duration(max(seconds, 1)) * time.Second
}

// balancerIPs are the addresses whose packets arrive at nodes as they are. A
// load balancer that forwards as a proxy addresses node ports, and clients
// within the cluster must go through it too.
func balancerIPs(s *v1.Service) []string {
	var out []string
	for _, in := range s.Status.LoadBalancer.Ingress {
		if in.IP != "" && ptr.Deref(in.IPMode, v1.LoadBalancerIPModeVIP) == v1.LoadBalancerIPModeVIP {
			out = append(out, in.IP)
		}
	}
	return out
}

// parse keeps the addresses of one family that may be programmed, once each.
func parse(ips []string, v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, text := range ips {
		ip, err := netip.ParseAddr(text)
		if err == nil && ip.Is6() == v6 && usable(ip) && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// sources are the ranges of one family that may use a load balancer's address:
// nil for everybody, empty for nobody.
func sources(s *v1.Service, v6 bool) []netip.Prefix {
	if len(s.Spec.LoadBalancerSourceRanges) == 0 {
		return nil
	}
	out := []netip.Prefix{}
	for _, text := range s.Spec.LoadBalancerSourceRanges {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is6() != v6 {
			continue
		}
		if p.Bits() == 0 {
			return nil
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}
