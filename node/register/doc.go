// Package register makes the node known to the API server and keeps it so: the
// Node object with its labels, taints, capacity, addresses and conditions, and
// the Lease that says the node lives.
//
// [Machine] reads the facts of the machine, [Describe] turns facts and
// configuration into a Node (pure), and [Registrar] writes it: once at the start,
// then whenever something changed, looked at every ten seconds, and at least
// every five minutes. Writes to the Node object are rare by design; the Lease in
// kube-node-lease, renewed every ten seconds, is the heartbeat. It follows its own
// Node, so that what others write there (taints, labels, conditions that became
// unknown while the node was cut off) is known, and contradicted, at once.
package register
