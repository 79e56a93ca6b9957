// Package proxy makes services reachable from one node: by their cluster IPs,
// node ports, external addresses and load balancers' addresses.
//
// It reads Services, EndpointSlices and its Node by list-watch, and keeps rules
// in nftables, in a table of its own per address family ([DefaultTable]) and
// nowhere else.
//
//	informers ─▶ dirty services ─▶ Decide ─▶ state ─▶ delta ─▶ table ─▶ kernel
//
// Each of them does one thing:
//
//   - [Decide] is pure: from a service, its slices and the node to a [Plan],
//     which is a list of fronts. A [Front] is an address, a protocol and a port
//     that clients use, with the endpoints behind it.
//   - state holds the plans of all services, and says which fronts change by a
//     new one. Where several services claim one front, the oldest has it.
//   - renderer is pure: from a front to chains and entries of sets and maps.
//   - table applies the difference between what a front needed and what it
//     needs, all changes of one sync in one transaction.
//
// # The rules
//
// A front costs no chain. It is one entry in a verdict map, whose verdict is to
// go to a chain named for how many endpoints there are; that chain draws a
// number, and finds front and number in a map of endpoints:
//
//	services       10.43.0.1 . tcp . 80 : goto pick-tcp-2
//	pick-tcp-2     dnat to ip daddr . tcp dport . numgen random mod 2 map @endpoints-tcp
//	endpoints-tcp  10.43.0.1 . 80 . 0 : 10.42.0.2 . 8080, 10.43.0.1 . 80 . 1 : 10.42.0.3 . 8080
//
// An endpoint that goes is replaced by the last, so that any change of one
// endpoint changes at most three entries. Only fronts with session affinity,
// and those that a firewall guards, have chains of their own. base.go draws the
// hooks.
//
// # What it keeps to
//
//   - A connection that is established is never touched: nftables decides on the
//     first packet only. Connections over UDP have no end that can be seen, so
//     those to endpoints that are gone are made to be forgotten.
//   - The rules outlive the process; the next one replaces the table in one
//     transaction. [Cleanup] removes it.
//   - Node ports are on every address of the node but loopback, so that
//     route_localnet stays closed (CVE-2020-8558).
//   - A service that is its own only endpoint is served on the node itself, and
//     is left alone. Cluster DNS is.
package proxy
