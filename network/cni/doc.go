// Package cni lays out the pod network of one node for the container runtime:
// a bridge, an address for each pod from the node's range, port mappings.
//
// The work is done by the CNI plugin proa-bridge (network/cni/bridge), which the
// runtime executes for each pod, and by upstream's portmap for pods with host
// ports. This package writes their configuration and makes what is needed once per
// node:
//
//   - [Setup] writes the configuration list into a directory of Proa's own, and
//     the node's nftables table: what leaves the cluster is masqueraded, and
//     nothing from the bridge reaches the host's loopback addresses, which the
//     portmap plugin would otherwise open (route_localnet, CVE-2020-8558).
//   - [Teardown] takes away exactly that: the table, the bridge and what is
//     attached to it, the pods' port mappings, the address records, the file.
//
// The bridge itself is made by the plugin at the first pod, and the kernel's
// forwarding is switched on with it.
//
// An operator who brings another pod network puts its configuration into the
// directory the node is told to use; Setup sees a foreign file there, leaves it
// alone, and makes nothing ([ErrForeign]).
package cni
