// Package network is the room of what connects pods.
//
//   - network/cni: the pod network of one node, made by the upstream CNI plugins.
//
// # Room for services
//
// The service proxy comes here as network/proxy. It will read Services and
// EndpointSlices by list-watch like any other part, keep its rules in an nftables
// table of its own beside the pod network's (network/cni/rules.go), as verdict
// maps so that an update costs what it changes, and clear stale UDP conntrack
// entries when endpoints go. What it can build on already holds: pods have
// addresses out of the node's range; the bridge has hairpin mode, so that a pod
// reaches itself through its own service; traffic from pods passes the host's
// prerouting hook, also between pods of the node where it is addressed to a
// service; masquerading leaves alone what stays in the range.
//
// Network policy, DNS, ingress and routes between nodes are further neighbours;
// none of them needs the pod network to know them.
package network
