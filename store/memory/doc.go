// Package memory is the store in memory: the same rules as store/etcd, kept by
// the same suite (store/storetest), with nothing durable and nothing random.
//
// It starts no goroutine. Watches are pulled by their reader, and keys with a
// time to live go by a timer of the standard library, so that the store works
// inside a testing/synctest bubble. [Options.Fault] is asked before every
// operation and can delay it, refuse it, or leave its outcome unknown;
// [Store.CutWatches] ends running watches as a broken stream would, and
// [Options.Observe] sees every change as it is made.
//
// The whole history since the last Compact stays in memory: it is meant for
// tests.
package memory
