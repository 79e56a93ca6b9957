// Package node authorizes node agents. A node may do what the role system:node
// says, but reads secrets, config maps, claims, volumes, accounts and other
// pods only as far as pods that are bound to it need them, so that taking over
// one node does not give away the cluster.
//
// A [Graph] knows which objects each node needs. It is kept by events of pods,
// persistent volumes, volume attachments and resource slices. For every node
// it counts the references of its pods, so a question is one or two map
// lookups:
//
//	pod on the node ──▶ secrets, config maps, claims, account
//	claim ◀── volume ──▶ its secrets
//
// A node is told of its pods at the same time as the graph, and may ask first.
// What the graph refuses is therefore asked again of the pods themselves.
//
// A mirror pod leads nowhere: the node itself makes it, and could otherwise
// name whatever it wants to read. What nodes may write is narrowed further by
// the admission plugin NodeRestriction, which sees the objects.
package node
