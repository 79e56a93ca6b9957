// Package simulate runs a whole cluster in one process and in fake time, lets
// everything go wrong that can, and checks that nothing is lost: "make
// simulate".
//
// The control plane is the product's (cluster.ControlPlane): request path,
// cache, controllers and scheduler, over store/memory. The nodes are hollow
// (node/hollow), the users are goroutines (users.go), and both reach the API
// server through a network that is part of the simulation (network.go). All of
// it runs inside one testing/synctest bubble, so hours pass in seconds and
// nothing waits for anything real.
//
// # Faults
//
//	gate.go     the process dies after its n-th write: that write is made, its
//	            answer lost, and nothing of that process reaches the store any
//	            more; requests to the store are slow, refused, or answered
//	            with an unknown outcome; its watch lags or is cut
//	network.go  requests and answers are delayed or lost, watches cut
//	plan.go     when: also compaction, nodes that fall silent, clocks that jump
//
// # What is done
//
//	users.go      deployments and single pods; whole namespaces are deleted
//	workloads.go  stateful sets, daemon sets, jobs
//	custom.go     custom resources, with what they own; a definition that comes and goes
//	rooms.go      a quota that many draw upon at once, a budget under which pods are evicted
//
// # What is checked
//
//	audit.go    reads the store itself, from its first revision on, and holds
//	            every change against the rules: a pod is bound once and to a
//	            node with room for it, and sets have no more pods than they
//	            ever asked for
//	audit_rooms.go
//	            likewise: quotas are not overshot, evictions leave what the budget
//	            asks for, jobs are not done too often and forget nothing, a node
//	            has one daemon of a set, namespaces and definitions leave nothing
//	test/history reads and compare-and-swap writes are linearizable, and a client's
//	            watch is ordered and unique; watching.go: and without gaps
//	world.go    the containers of a pod begin once, on one node, and no two pods of
//	            a stateful set run by one name
//	calm.go     after the faults the cluster converges, what was acknowledged
//	            is there, and then nothing is written but heartbeats
//
// # What a seed decides, and what it does not
//
// A seed decides the plan, the workload of each user, the fate of the n-th
// request of the store and of the network, every identifier and random name,
// and all delays. It does not decide which of several goroutines that can run
// at the same moment runs first, nor the order in which Go walks a map or picks
// among ready channels. On one processor (GOMAXPROCS=1, as "make simulate" runs
// it) most runs of a seed are alike, though not to the last write, so the n-th
// write of a run need not be the n-th of the next. A seed that fails may
// therefore pass once in a while: REPEAT runs each seed several times. RUNS is how
// many seeds there are, from SEED on.
package simulate
