// Package hollow keeps the node's side of the API for many nodes in one
// process, and runs no container. It is how a control plane is exercised at
// scale, and in simulation.
//
// Of each node it keeps what a node agent keeps: the Node object with capacity,
// conditions and heartbeats, the Lease, and for every pod that is bound to it
// the pod's status through its whole life. A pod is checked as a real node
// checks it (node/admit), shows ContainerCreating, runs after [Timing].Start,
// is ready after Timing.Ready, ends by itself after Timing.Run if it does not
// restart, and when it is deleted ends within its grace period and is deleted
// for good, by its UID. Statuses are made by node/status, as on a real node. It
// records no events, serves no kubelet API and reads no logs.
//
//	one informer of pods, one of nodes
//	        │ keys: a node, or a pod of a node
//	        ▼
//	controller.Loop ─► decideNode, decidePod (pure) ─► apply, as that node
//
// A [Fleet] costs no goroutine and no timer per node: everything waits in one
// queue with one heap of due times, and a few workers take from it. Objects are
// those of the informers, which in one process are those of the cache.
//
// Every write is made under the identity of the node that it is about: the
// request's context carries the node's name ([NodeOf]), and the client's
// transport makes a user of it, so that the node authorizer and NodeRestriction
// hold.
//
// # Addresses
//
// Nothing listens on them, so they are from ranges that nobody routes: nodes
// have addresses of 198.18.0.0/15, which is set aside for benchmarks, and pods
// those of 240.0.0.0/4, a /24 for each node.
package hollow
