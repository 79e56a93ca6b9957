// Package e2e runs the real binary with real containers, and drives it with the
// real kubectl.
//
// Every test has a cluster of its own in a network namespace of its own, with
// its data, bridge and cgroups apart from everybody's, and removes it all. The
// programs are those in PROA_BIN_DIR, where make puts them; without it they are
// built.
package e2e
