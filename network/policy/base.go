package policy

import "sigs.k8s.io/knftables"

// base writes the table without any pod.
//
//	forward  0  between pods, and between pods and all but their node: egress of
//	            the sender, then ingress of the receiver
//	input    0  from pods to their node: egress of the sender
//
// A chain that a map jumps to drops the packet or returns.
func (t *table) base(tx *knftables.Transaction) {
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("network policies, by Proa")})
	for _, f := range families {
		tx.Add(&knftables.Set{Name: setSelf + f.suffix, Type: f.addr + " . " + f.addr})
		for _, d := range []direction{ingress, egress} {
			tx.Add(&knftables.Map{Name: mapOf(d, f), Type: f.addr + " : verdict"})
		}
	}
	for _, hook := range []knftables.BaseChainHook{knftables.ForwardHook, knftables.InputHook} {
		tx.Add(&knftables.Chain{
			Name: string(hook), Type: knftables.PtrTo(knftables.FilterType),
			Hook: &hook, Priority: knftables.PtrTo(knftables.FilterPriority),
		})
		for _, line := range t.baseRules(hook) {
			tx.Add(&knftables.Rule{Chain: string(hook), Rule: line})
		}
	}
}

func (t *table) baseRules(hook knftables.BaseChainHook) []string {
	out := []string{
		"ct state established,related accept",
		// Neighbours find each other by packets that belong to no connection.
		"icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
	}
	forward := hook == knftables.ForwardHook
	if t.bridge != "" {
		// Pods have addresses of the link beside those that policies know.
		out = append(out, "iifname "+t.bridge+" ip6 saddr fe80::/10 drop")
		if forward {
			out = append(out, "iifname "+t.bridge+" ip6 daddr fe80::/10 drop")
		}
	}
	if forward {
		for _, f := range families {
			out = append(out, f.ip+" saddr . "+f.ip+" daddr @"+setSelf+f.suffix+" accept")
		}
	}
	for _, f := range families {
		out = append(out, f.ip+" saddr vmap @"+mapOf(egress, f))
	}
	if forward {
		for _, f := range families {
			out = append(out, f.ip+" daddr vmap @"+mapOf(ingress, f))
		}
	}
	return out
}
