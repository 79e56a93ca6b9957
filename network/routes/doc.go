// Package routes keeps this node's routes to the pods of the other nodes: one
// for each range of each Node, by way of that node's internal address.
//
// It follows the Node objects by watch and the kernel's routing table by netlink,
// so that a route that somebody removes comes back. A node is routed to only
// where its address lies on a network that this machine is connected to; for
// others the network between has to know the way, or an overlay.
//
// Routes carry a protocol number of their own ([Protocol]), and only routes with
// that number whose destination lies in the cluster's ranges are ever changed or
// removed: several clusters and the operator's own routes live side by side.
// Routes stay when the process ends, as the pods do; [Remove] takes them away.
package routes
