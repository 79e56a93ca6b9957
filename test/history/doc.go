// Package history holds what clients were told against what can have happened. It
// is for tests that let a cluster fail, simulated ones (test/simulate) and real ones
// (TestChaos of test/e2e), and knows of the cluster only what a client knows.
//
//	Ledger    reads and compare-and-swap writes of a few objects are linearizable
//	Watcher   a watch is ordered, unique, and goes on where it ended
//	Crowded   the pods of a node fit on it
//
// All take a function that reports a failure. It may be called from any goroutine.
package history
