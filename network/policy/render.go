package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// family is an address family as rules of an inet table name it.
type family struct {
	ip, suffix, addr string
	v6               bool
}

var families = []family{
	{ip: "ip", suffix: "4", addr: "ipv4_addr"},
	{ip: "ip6", suffix: "6", addr: "ipv6_addr", v6: true},
}

func familyOf(a netip.Addr) family {
	if a.Is6() {
		return families[1]
	}
	return families[0]
}

// group is what fills one nftables set for each family: the addresses of pods
// that peers select, or the ports of one name.
type group struct {
	// name of the sets, to which the family is added. Equal groups have equal
	// names.
	name string
	// peers whose addresses are meant, or
	peers []peer
	// the port's name and protocol, at pods of this node or at all.
	port     string
	protocol v1.Protocol
	local    bool
}

// setName is the group's set of one family.
func (g *group) setName(f family) string { return g.name + "-v" + f.suffix }

// setType is the type of what is in it.
func (g *group) setType(f family) string {
	if g.port != "" {
		return f.addr + " . inet_service"
	}
	return f.addr
}

// elements are what a pod brings into the group.
func (g *group) elements(p *Pod, namespace labels.Set, known bool) []element {
	var out []element
	switch {
	case g.port == "":
		if !slices.ContainsFunc(g.peers, func(q peer) bool { return q.matches(p, namespace, known) }) {
			return nil
		}
		for _, a := range p.Addrs {
			out = append(out, element{g.setName(familyOf(a)), a.String()})
		}
	case p.Local || !g.local:
		for _, port := range p.Ports {
			if port.Name != g.port || port.Protocol != g.protocol {
				continue
			}
			for _, a := range p.Addrs {
				out = append(out, element{g.setName(familyOf(a)), fmt.Sprintf("%s . %d", a, port.Number)})
			}
		}
	}
	return out
}

func peerGroup(peers []peer) group {
	g := group{peers: peers}
	var text []string
	for _, p := range peers {
		text = append(text, p.String())
	}
	g.name = "pods-" + digest(text...)
	return g
}

func portGroup(d direction, p v1.Protocol, port string) group {
	return group{
		name: fmt.Sprintf("ports-%s-%s-%s", d, strings.ToLower(string(p)), digest(port)),
		port: port, protocol: p, local: d == ingress,
	}
}

// digest names content. Nobody can make two that have one name.
func digest(lines ...string) string {
	h := sha256.New()
	for _, l := range lines {
		fmt.Fprintf(h, "%d %s\n", len(l), l)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// pass ends the lines that let a packet through.
const pass = "return"

// add renders one rule of a policy.
func (s *side) add(d direction, namespace string, peers []networkingv1.NetworkPolicyPeer, allPorts []networkingv1.NetworkPolicyPort) {
	if len(peers) == 0 && len(allPorts) == 0 {
		s.lines = append(s.lines, pass)
		return
	}
	if len(peers) == 0 {
		s.ports(d, families, "", allPorts)
		return
	}
	selected, blocks := peersOf(namespace, peers)
	field := " saddr "
	if d == egress {
		field = " daddr "
	}
	if len(selected) > 0 {
		g := peerGroup(selected)
		s.groups = append(s.groups, g)
		for _, f := range families {
			s.ports(d, []family{f}, f.ip+field+"@"+g.setName(f), allPorts)
		}
	}
	v4, v6 := spansOf(blocks)
	for i, allowed := range []spans{v4, v6} {
		if f := families[i]; len(allowed) > 0 {
			s.ports(d, []family{f}, f.ip+field+list(allowed), allPorts)
		}
	}
}

// ports adds a line for each protocol of a rule, after what says whose packets
// are meant, in the families that it is true in.
func (s *side) ports(d direction, in []family, who string, all []networkingv1.NetworkPolicyPort) {
	line := func(words ...string) {
		words = append(append([]string{who}, words...), pass)
		s.lines = append(s.lines, strings.TrimSpace(strings.Join(words, " ")))
	}
	if len(all) == 0 {
		line()
	}
	for _, p := range portsOf(all) {
		protocol := strings.ToLower(string(p.protocol))
		if !slices.Contains(protocols, protocol) {
			continue
		}
		if p.all {
			line("meta l4proto", protocol)
			continue
		}
		if len(p.numbers) > 0 {
			line(protocol, "dport", list(p.numbers))
		}
		for _, name := range p.names {
			g := portGroup(d, p.protocol, name)
			s.groups = append(s.groups, g)
			for _, f := range in {
				line(f.ip, "daddr .", protocol, "dport", "@"+g.setName(f))
			}
		}
	}
}

// protocols that policies may name, as nftables calls them.
var protocols = []string{"tcp", "udp", "sctp"}

// list is an anonymous set.
func list[T fmt.Stringer](all []T) string {
	texts := make([]string, len(all))
	for i, e := range all {
		texts[i] = e.String()
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}
