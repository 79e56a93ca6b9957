// Package nodelifecycle watches whether nodes are alive, and turns what is
// known of them into taints.
//
//	decide.go  health: a node that has neither renewed its lease nor written its
//	           status for the grace period is unknown; taints that follow from
//	           the conditions
//	zones.go   how fast nodes may be given up: slowly, more slowly where most
//	           of a zone is ill, and not at all in a small one or when nothing
//	           is left, since then it is the network that is ill
//
// The age of a sign of life is measured by this machine's clock from the moment
// it was seen, so that clocks need not agree, and a controller that has
// just started gives every node the full grace period.
//
// Taints with the effect NoExecute are acted upon by controller/tainteviction.
package nodelifecycle
