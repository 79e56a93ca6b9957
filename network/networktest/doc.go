// Package networktest gives tests a node to send packets through: network
// namespaces for the node, two of its pods and a client outside, joined as the pod
// network joins them ([Lab]).
//
// It needs root on Linux, and the kernel to filter bridged packets. Everything is
// removed at the test's end.
package networktest
