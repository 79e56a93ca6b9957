// Package admit is the node's own check of a pod, the second confirmation after
// the scheduler's: whether the pod fits beside those already accepted, and may run
// on this node at all. It is pure. A pod that is refused becomes Failed, with the
// reason and message given here, which are upstream's.
package admit
