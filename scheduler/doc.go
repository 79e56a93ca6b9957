// Package scheduler chooses a node for every pod that has none.
//
// # How a decision is made
//
// One goroutine, the loop, owns the whole state and needs no lock for it:
//
//	informers → mailbox → loop: apply events → pop a pod → decide → assume
//	                                                           ↓
//	                                        binders: POST binding, event
//
// The state is a dense array of nodes. What the plugins read of a pod is its
// [shape]: pods of one workload have the same, and share their work, because a
// shape remembers for every node the verdict of the filters and the score, and
// the nodes keep a list of what changed last. After a pod has been placed only
// one node has changed, so the next pod of the shape costs one evaluation and a
// scan of a flat array of scores, however many nodes there are.
//
// A decision is a pure function of the nodes, the shape and a seed that is
// logged at start, so it can be replayed.
//
// # Assume, bind, confirm
//
// A decided pod counts on its node at once (it is assumed) and is bound in the
// background, so the loop never waits for the API. The binding is confirmed
// when the pod comes back through the watch with its node. A binding that fails
// takes the assumption back and queues the pod again. One whose answer says
// nothing certain may have been made: the pod is read before its room is given
// to others.
//
// # The queue
//
// Pods wait by priority, then by age. A pod that fits nowhere is set aside
// together with the names of the plugins that refused it, and comes back when
// something changes that one of those plugins cares for, after a back-off of
// 1 s doubling to 10 s, and at the latest after five minutes.
//
// # Plugins
//
// A plugin is one file. [Filter] refuses nodes, in upstream's words; [Scorer]
// rates those that remain. Both see one pod and one node and depend on nothing
// else: that is what makes their answers worth remembering.
//
// A [Related] plugin looks at the pods of all nodes. It is asked after the
// filters, and only about pods that have a relation to others: by an affinity or
// spread rule of their own, or because a placed pod's term names them. What it
// needs is counted as pods come and go: by node, how many pods are of a selection
// (a tally) or carry a term (a carrier). A decision adds the counts up by domain,
// the value of a node label, in one pass over flat arrays.
//
// # Preemption
//
// A pod that fits nowhere may make room where a filter's refusal is curable: on
// the node where the least important pods have to leave, and as few of them as
// possible, those that a disruption budget protects last. Victims are deleted
// with a condition that says why; the pod's status names the node, and until it is
// bound its room counts as taken for all who are not more important.
//
// # What is honoured
//
// Of what a pod asks for, these decide: node selector and node affinity,
// taints and tolerations, cordons, resource requests of every kind with the
// number of pods, host ports, topology spread, affinity and anti-affinity between
// pods, priority, preemption and scheduling gates. Least allocated, balance,
// preferred affinities, soft spread, soft taints and images present rate the nodes
// that remain.
//
// Pods without topology spread constraints have none by default (upstream spreads
// the pods of a service or workload a little). Volumes and resource claims have no
// plugin yet and do not take part in the choice of a node.
package scheduler
