package routes

import (
	"cmp"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// route leads to the pods of another node.
type route struct {
	dst netip.Prefix
	via netip.Addr
}

// wanted are the routes that a node needs, ordered, each destination once. Pure.
func wanted(self string, cluster []netip.Prefix, nodes []*v1.Node) []route {
	nodes = slices.Clone(nodes)
	// Where two nodes show the same range, the older has it.
	slices.SortFunc(nodes, func(a, b *v1.Node) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	taken := map[netip.Prefix]bool{}
	var out []route
	for _, n := range nodes {
		for _, s := range n.Spec.PodCIDRs {
			dst, err := netip.ParsePrefix(s)
			if err != nil || dst != dst.Masked() || taken[dst] || !inside(cluster, dst) {
				continue
			}
			taken[dst] = true
			if via, ok := internal(n, dst.Addr().Is4()); ok && n.Name != self {
				out = append(out, route{dst, via})
			}
		}
	}
	slices.SortFunc(out, func(a, b route) int { return a.dst.Addr().Compare(b.dst.Addr()) })
	return out
}

// inside tells whether a destination belongs to the cluster. A node cannot draw
// other traffic to itself by showing a range of its choice.
func inside(cluster []netip.Prefix, dst netip.Prefix) bool {
	return slices.ContainsFunc(cluster, func(c netip.Prefix) bool { return c.Bits() <= dst.Bits() && c.Contains(dst.Addr()) })
}

// internal is a node's first internal address of a family.
func internal(n *v1.Node, is4 bool) (netip.Addr, bool) {
	for _, a := range n.Status.Addresses {
		if a.Type != v1.NodeInternalIP {
			continue
		}
		if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() == is4 && !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast() {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

// difference is what to add or replace, and what to delete. Pure.
func difference(want, have []route) (set, remove []route) {
	at := map[netip.Prefix]netip.Addr{}
	for _, r := range have {
		at[r.dst] = r.via
	}
	wanted := map[netip.Prefix]bool{}
	for _, r := range want {
		wanted[r.dst] = true
		if at[r.dst] != r.via {
			set = append(set, r)
		}
	}
	for _, r := range have {
		if !wanted[r.dst] {
			remove = append(remove, r)
		}
	}
	return set, remove
}
