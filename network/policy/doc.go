// Package policy enforces NetworkPolicies on one node: which connections its
// pods may open and accept.
//
// It reads NetworkPolicies and, as soon as there is one, Pods and Namespaces by
// list-watch, and keeps rules in one nftables table of its own ([DefaultTable],
// for both address families) and nowhere else. Where no pod of the node is
// isolated there is no table, and no packet costs anything.
//
//	informers ─▶ dirty names ─▶ Compile ─▶ state ─▶ table ─▶ kernel
//	node agent ─▶ Admit ──┘
//
// Each of them does one thing:
//
//   - [Compile] is pure: from a NetworkPolicy to a [Policy], whose rules are lines
//     of nftables already, and name the groups of pods that they speak of.
//   - state holds the policies, pods and namespaces. It keeps the members of each
//     group that is in use, and says which chain each pod of the node goes by.
//   - table applies what changed since the last time, such that no packet slips
//     through while it does.
//
// # The rules
//
// Pods that are selected by the same policies go by the same chain, found in a
// verdict map by their address. A chain is named for what it says and never
// changed: another policy is another chain, and another entry in the map.
//
//	egress4         10.42.0.2 : jump out-3f6c…
//	ingress4        10.42.0.3 : jump in-9a01…
//	in-9a01…        ip saddr @pods-77d0…-v4 tcp dport { 80, 8000-8010 } return
//	                ip saddr { 192.0.2.0-192.0.2.255 } return
//	                drop
//	pods-77d0…-v4   10.42.0.2, 10.42.1.9
//
// So a pod that comes or goes changes elements of sets and maps and nothing else.
// Rules with equal peers share a set, and only sets that a pod of this node needs
// are kept.
//
// # What it keeps to
//
//   - Packets between pods are judged in the forward hook, which those of two
//     pods of one bridge pass as well (network/cni), and after the service proxy
//     has put the endpoint's address into them. What a pod sends to its own node
//     is judged by its egress rules in the input hook. What the node itself sends
//     to its pods is never judged: probes always pass.
//   - A connection that is established goes on, whatever becomes of the policies.
//   - A pod reaches itself, also by a service.
//   - What is not TCP, UDP or SCTP passes an isolated pod only by a rule that
//     names no port; errors that belong to a connection, and neighbour discovery,
//     always pass.
//   - Pods on the host network, and pods that have ended, are neither isolated nor
//     anybody's peers.
//   - The cluster's DNS address, which each node answers itself, stands for a pod
//     in kube-system with the label k8s-app=kube-dns: rules that are written for
//     other clusters let names be resolved here, too.
//   - A named port is what the pod that receives the connection calls so.
//   - IPv6 link-local addresses, which no policy can name, do not lead from pod
//     to pod on a node with isolated pods.
//   - A pod runs nothing before its rules are in place: the node agent waits in
//     [Enforcer.Admit] before it starts the first container. The API does not know
//     the pod's address then; the agent does. So a node that has not reached the
//     API server since its start begins no pods but those on the host network and
//     static ones; once it has, it goes on by what it knows when the API server is
//     away.
//   - The rules outlive the process. The next one writes the table under a second
//     name, by the side of the one that is there, and then deletes that: packets
//     pass what both allow in between. [Cleanup] removes it.
//
// Source addresses are believed. A pod that may make raw packets (CAP_NET_RAW)
// can send some under another's address; it gets no answers to them.
package policy
