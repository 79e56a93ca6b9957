package cni

import (
	"context"

	"sigs.k8s.io/knftables"
)

// tableName is the nftables table (family inet) that belongs to the network.
func tableName(c Config) string { return c.Network + "-pods" }

// rule is a line of a chain.
type rule struct{ chain, text string }

// rules are the lines of the table. Pure.
func rules(c Config) []rule {
	var out []rule
	// portmap sets route_localnet on the bridge so that the host itself can
	// use a port mapping by a loopback address. That also lets a pod address
	// the host's loopback. Dropping before connection tracking is safe for the
	// answers of such connections: they are masqueraded, and come back to the
	// bridge's address.
	out = append(out,
		rule{"from_pods", knftables.Concat("iifname", c.Bridge, "ip daddr 127.0.0.0/8", "drop")},
		rule{"from_pods", knftables.Concat("iifname", c.Bridge, "ip6 daddr ::1", "drop")},
	)
	// Outside of the cluster nobody has a route to a pod's address.
	for _, p := range c.PodCIDRs {
		family, stay := "ip", []string{"224.0.0.0/4"}
		if p.Addr().Is6() {
			family, stay = "ip6", []string{"ff00::/8"}
		}
		for _, r := range c.Cluster {
			if r.Addr().Is4() == p.Addr().Is4() {
				stay = append(stay, r.String())
			}
		}
		for _, r := range stay {
			out = append(out, rule{"leaving", knftables.Concat(family, "saddr", p, family, "daddr", r, "return")})
		}
		out = append(out, rule{"leaving", knftables.Concat(family, "saddr", p, "oifname !=", c.Bridge, "masquerade")})
	}
	return out
}

// applyRules replaces the table's content in one transaction.
func applyRules(ctx context.Context, nft knftables.Interface, c Config) error {
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("pod network of Proa")})
	tx.Add(&knftables.Chain{
		Name: "from_pods", Type: knftables.PtrTo(knftables.FilterType),
		Hook: knftables.PtrTo(knftables.PreroutingHook), Priority: knftables.PtrTo(knftables.RawPriority),
	})
	tx.Add(&knftables.Chain{
		Name: "leaving", Type: knftables.PtrTo(knftables.NATType),
		Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	tx.Flush(&knftables.Chain{Name: "from_pods"})
	tx.Flush(&knftables.Chain{Name: "leaving"})
	for _, r := range rules(c) {
		tx.Add(&knftables.Rule{Chain: r.chain, Rule: r.text})
	}
	return nft.Run(ctx, tx)
}
