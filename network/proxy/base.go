package proxy

import (
	"fmt"

	"sigs.k8s.io/knftables"
)

// base writes the table without any service, in place of what was there.
//
//	prerouting, output  -110  firewalled, refused: before addresses change
//	                    -100  services, node-ports: pick an endpoint (dnat)
//	                     -90  cluster-ips: what has got no endpoint is refused
//	postrouting          100  hairpins and what was marked: masquerade
func (t *table) base(tx *knftables.Transaction) {
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("services, by Proa")})
	t.containers(tx)
	for _, c := range []struct {
		name     string
		kind     knftables.BaseChainType
		hook     knftables.BaseChainHook
		priority knftables.BaseChainPriority
	}{
		{"early-prerouting", knftables.FilterType, knftables.PreroutingHook, knftables.DNATPriority + "-10"},
		{"early-output", knftables.FilterType, knftables.OutputHook, "-110"},
		{"prerouting", knftables.NATType, knftables.PreroutingHook, knftables.DNATPriority},
		{"output", knftables.NATType, knftables.OutputHook, "-100"},
		{"late-prerouting", knftables.FilterType, knftables.PreroutingHook, knftables.DNATPriority + "+10"},
		{"late-output", knftables.FilterType, knftables.OutputHook, "-90"},
		{"postrouting", knftables.NATType, knftables.PostroutingHook, knftables.SNATPriority},
	} {
		tx.Add(&knftables.Chain{Name: c.name, Type: &c.kind, Hook: &c.hook, Priority: &c.priority})
	}
	for _, name := range []string{"check", "translate", "refuse", "leftover"} {
		tx.Add(&knftables.Chain{Name: name})
	}
	for _, r := range t.baseRules() {
		tx.Add(&knftables.Rule{Chain: r.chain, Rule: r.text})
	}
}

type rule struct{ chain, text string }

func (t *table) baseRules() []rule {
	front := t.ip + " daddr . meta l4proto . th dport"
	node := "fib daddr type local " + t.ip + " daddr != " + loopback(t.v6) + " meta l4proto . th dport"
	out := []rule{
		{"early-prerouting", "ct state new jump check"},
		{"early-output", "ct state new jump check"},
		{"check", front + " vmap @" + mapFirewall},
		{"check", front + " @" + setRefused + " goto refuse"},
		{"check", node + " @" + setRefusedNodePorts + " goto refuse"},
		{"refuse", "meta l4proto tcp reject with tcp reset"},
		{"refuse", "reject"},
		{"prerouting", "jump translate"},
		{"output", "jump translate"},
	}
	if len(t.cidrs) > 0 {
		// The answer must come back this way to a client that has no route to pods.
		out = append(out, rule{"translate", fmt.Sprintf("%s daddr @%s %s saddr != %s %s", t.ip, setClusterIPs, t.ip, list(t.cidrs), markForMasquerade)})
	}
	return append(out,
		rule{"translate", front + " vmap @" + mapServices},
		rule{"translate", node + " vmap @" + mapNodePorts},
		rule{"late-prerouting", "ct state new jump leftover"},
		rule{"late-output", "ct state new jump leftover"},
		rule{"leftover", t.ip + " daddr @" + setClusterIPs + " goto refuse"},
		rule{"postrouting", fmt.Sprintf("%s saddr . %s daddr @%s masquerade", t.ip, t.ip, setHairpins)},
		rule{"postrouting", markedMasquerade + " " + unmark + " masquerade fully-random"},
	)
}

func loopback(v6 bool) string {
	if v6 {
		return "::1"
	}
	return "127.0.0.0/8"
}

// protocols of services, as nftables calls them.
var protocols = []string{"tcp", "udp", "sctp"}

// containers adds the sets and maps. The type of a random number has no name,
// so that the maps from it are declared by expressions; and since expressions
// imply a protocol, there is a map of endpoints for each.
func (t *table) containers(tx *knftables.Transaction) {
	addr := "ipv4_addr"
	if t.v6 {
		addr = "ipv6_addr"
	}
	const port = "inet_proto . inet_service"
	for name, kind := range map[string]string{
		mapServices: addr + " . " + port, mapFirewall: addr + " . " + port, mapNodePorts: port,
	} {
		tx.Add(&knftables.Map{Name: name, Type: kind + " : verdict"})
	}
	for _, protocol := range protocols {
		number, endpoint := protocol+" dport . numgen random mod 2", t.ip+" daddr . "+protocol+" dport"
		for name, key := range map[string]string{
			mapEndpoints: t.ip + " daddr . " + number, mapLocalEndpoints: t.ip + " daddr . " + number,
			mapNodePortEndpoints: number, mapLocalNodePortEndpoints: number,
		} {
			tx.Add(&knftables.Map{Name: name + "-" + protocol, TypeOf: key + " : " + endpoint})
		}
	}
	for name, kind := range map[string]string{
		setRefused: addr + " . " + port, setRefusedNodePorts: port, setClusterIPs: addr, setHairpins: addr + " . " + addr,
	} {
		tx.Add(&knftables.Set{Name: name, Type: kind})
	}
}
