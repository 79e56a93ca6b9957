// Package network is the room of what connects pods.
//
//   - network/cni: the pod network of one node, made by the upstream CNI plugins.
//   - network/ipalloc: cluster IPs and node ports for services.
//   - network/proxy: services, forwarded by nftables.
//   - network/dns: names of services, answered on every node.
//   - network/policy: which connections pods may open and accept, enforced by
//     nftables.
//   - network/edge: a reverse proxy of HTTP, by a table that knows no object of the
//     API.
//   - network/ingress: fills that table from Ingresses. The Gateway API has its place
//     beside it.
//
// What they agree on: pods have addresses out of the node's range; the bridge
// has hairpin mode; packets from pods pass the host's prerouting hook, also
// between two pods of the node, so that answers find back through a service, and
// its forward hook, where policies see the addresses of pods on both sides;
// masquerading leaves alone what stays in the range, and comes after. Each keeps
// a table of its own in nftables.
//
// network/networktest is a node to send packets through, for their tests. None of
// them needs the pod network to know them.
package network
