// Package e2e runs the real binary with real containers, and drives it with the
// real kubectl.
//
// Every test has a cluster of its own in a network namespace of its own, with
// its data, bridge and cgroups apart from everybody's, and removes it all; the
// parts of a test share it and have a namespace and a user each (user_test.go),
// who types at a kubectl and waits for what the API tells. The programs are
// those in PROA_BIN_DIR, where make puts them; without it they are built.
//
// TestKill kills the server four times, or PROA_KILLS times, at moments from a
// seed that it logs and that PROA_SEED brings back.
package e2e
