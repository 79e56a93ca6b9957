// Package network is the room of what connects pods.
//
//   - network/cni: the pod network of one node, made by the upstream CNI plugins.
//   - network/ipalloc: cluster IPs and node ports for services.
//   - network/proxy: services, forwarded by nftables.
//   - network/dns: names of services, answered on every node.
//   - network/edge: a reverse proxy of HTTP, by a table that knows no object of the
//     API.
//   - network/ingress: fills that table from Ingresses. The Gateway API has its place
//     beside it.
//
// What they agree on: pods have addresses out of the node's range; the bridge
// has hairpin mode; packets from pods pass the host's prerouting hook, also
// between two pods of the node, so that answers find back through a service;
// masquerading leaves alone what stays in the range. Each keeps a table of its
// own in nftables.
//
// Network policy is a further neighbour; none of them needs the pod network to know
// them.
package network
