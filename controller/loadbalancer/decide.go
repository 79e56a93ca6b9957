package loadbalancer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"proa/controller"
	"proa/network/ingress"
)

const (
	// Class is the loadBalancerClass of services that are served here; services that
	// name none are too.
	Class = "proa.dev/node"
	// NodeLabel, with any value but "false", chooses the nodes whose addresses are
	// given to services.
	NodeLabel = "proa.dev/load-balancer"
)

// outcome is what one service gets.
type outcome struct {
	ingress []v1.LoadBalancerIngress
	// lacks says why there is none, or "".
	lacks string
}

// ours tells whether a service is served here.
func ours(s *v1.Service) bool {
	return s.Spec.Type == v1.ServiceTypeLoadBalancer && (s.Spec.LoadBalancerClass == nil || *s.Spec.LoadBalancerClass == Class)
}

// place is a port of an address.
type place struct {
	address  netip.Addr
	protocol v1.Protocol
	port     int32
}

// decide gives addresses to all services at once. slices are of the services whose
// traffic stays on the node; reserved are TCP ports that belong to no service.
func decide(services []*v1.Service, nodes []*v1.Node, endpoints map[controller.Key][]*discoveryv1.EndpointSlice, reserved []int32) map[controller.Key]outcome {
	nodes = usable(nodes)
	taken := map[place]bool{}
	for _, n := range nodes {
		for _, a := range Addresses(n) {
			for _, port := range append(openPorts(n), reserved...) {
				taken[place{a, v1.ProtocolTCP, port}] = true
			}
		}
	}
	out := map[controller.Key]outcome{}
	for _, s := range inTurn(services) {
		key := controller.Key{Namespace: s.Namespace, Name: s.Name}
		out[key] = give(s, hosting(s, nodes, endpoints[key]), taken)
	}
	return out
}

// openPorts are the ports of a node that its agent has, and those on which it serves
// Ingresses.
func openPorts(n *v1.Node) []int32 {
	out := []int32{n.Status.DaemonEndpoints.KubeletEndpoint.Port}
	for text := range strings.SplitSeq(n.Annotations[ingress.Announcement], ",") {
		if port, err := strconv.ParseInt(text, 10, 32); err == nil {
			out = append(out, int32(port))
		}
	}
	return out
}

// inTurn puts who has addresses already before the others, then who asked first.
func inTurn(services []*v1.Service) []*v1.Service {
	var out []*v1.Service
	for _, s := range services {
		if ours(s) && s.DeletionTimestamp == nil {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *v1.Service) int {
		if x, y := len(a.Status.LoadBalancer.Ingress) > 0, len(b.Status.LoadBalancer.Ingress) > 0; x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// usable are the nodes whose addresses may be given away, by name.
func usable(nodes []*v1.Node) []*v1.Node {
	var out, chosen []*v1.Node
	for _, n := range nodes {
		if _, excluded := n.Labels[v1.LabelNodeExcludeBalancers]; excluded || n.DeletionTimestamp != nil || !Ready(n) {
			continue
		}
		out = append(out, n)
	}
	labelled := slices.ContainsFunc(nodes, chosenByLabel)
	for _, n := range out {
		if !labelled || chosenByLabel(n) {
			chosen = append(chosen, n)
		}
	}
	slices.SortFunc(chosen, func(a, b *v1.Node) int { return cmp.Compare(a.Name, b.Name) })
	return chosen
}

func chosenByLabel(n *v1.Node) bool {
	value, there := n.Labels[NodeLabel]
	return there && value != "false"
}

// Ready tells whether a node is.
func Ready(n *v1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c v1.NodeCondition) bool {
		return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue
	})
}

// Addresses of a node by which it is reached from outside.
func Addresses(n *v1.Node) []netip.Addr {
	for _, t := range []v1.NodeAddressType{v1.NodeExternalIP, v1.NodeInternalIP} {
		var out []netip.Addr
		for _, a := range n.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == t {
				out = append(out, ip)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// hosting are the nodes that may take a service's traffic.
func hosting(s *v1.Service, nodes []*v1.Node, endpoints []*discoveryv1.EndpointSlice) []*v1.Node {
	if s.Spec.ExternalTrafficPolicy != v1.ServiceExternalTrafficPolicyLocal {
		return nodes
	}
	runs := map[string]bool{}
	for _, slice := range endpoints {
		for _, e := range slice.Endpoints {
			if e.NodeName != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				runs[*e.NodeName] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *v1.Node) bool { return !runs[n.Name] })
}

// maxAddresses bounds what a service gets in a cluster of very many nodes: every
// node's proxy has all of them.
const maxAddresses = 64

// give takes places for a service.
func give(s *v1.Service, nodes []*v1.Node, taken map[place]bool) outcome {
	var out outcome
	fitting, mode := 0, v1.LoadBalancerIPModeVIP
	for _, n := range nodes {
		for _, a := range Addresses(n) {
			if !wants(s, a) {
				continue
			}
			fitting++
			if len(out.ingress) < maxAddresses && takeAll(s, a, taken) {
				out.ingress = append(out.ingress, v1.LoadBalancerIngress{IP: a.String(), IPMode: &mode})
			}
		}
	}
	switch {
	case len(out.ingress) > 0:
	case fitting > 0:
		out.lacks = fmt.Sprintf("on every node, a port of the service (%s) belongs to another service or to the node itself; choose other ports", ports(s))
	case s.Spec.LoadBalancerIP != "":
		out.lacks = fmt.Sprintf("no node of use has the address %s that spec.loadBalancerIP asks for", s.Spec.LoadBalancerIP)
	case s.Spec.ExternalTrafficPolicy == v1.ServiceExternalTrafficPolicyLocal:
		out.lacks = "no node of use runs a ready pod of the service, as externalTrafficPolicy Local requires"
	default:
		out.lacks = "no node is ready that has an address of the service's families and is not excluded from load balancing"
	}
	return out
}

// wants tells whether an address is one that the service may have.
func wants(s *v1.Service, a netip.Addr) bool {
	if s.Spec.LoadBalancerIP != "" {
		want, err := netip.ParseAddr(s.Spec.LoadBalancerIP)
		return err == nil && want == a
	}
	family := v1.IPv4Protocol
	if a.Is6() {
		family = v1.IPv6Protocol
	}
	return len(s.Spec.IPFamilies) == 0 || slices.Contains(s.Spec.IPFamilies, family)
}

// takeAll takes all ports of an address that the service needs, or none.
func takeAll(s *v1.Service, a netip.Addr, taken map[place]bool) bool {
	var places []place
	for _, p := range s.Spec.Ports {
		x := place{a, p.Protocol, p.Port}
		if taken[x] {
			return false
		}
		places = append(places, x)
	}
	for _, x := range places {
		taken[x] = true
	}
	return true
}

func ports(s *v1.Service) string {
	var out []string
	for _, p := range s.Spec.Ports {
		out = append(out, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	return strings.Join(out, ", ")
}
