// Package job runs the pods of Jobs until enough of them have succeeded, or too
// much has failed.
//
// # How a pod is counted once
//
// Every pod of a job carries a finalizer. A pod that has ended is counted in
// three steps, each of which may be the last before a crash:
//
//  1. its uid is written to status.uncountedTerminatedPods,
//  2. its finalizer is removed, after which it may vanish,
//  3. the uid is taken from the list and the counter raised, in one write.
//
// A pod with the finalizer that is not in the list is new; a uid in the list
// whose pod has no finalizer any more is to be counted. Indexed jobs need no
// list for what succeeded: an index in status.completedIndexes is counted.
//
// Each reconcile does all steps that are due and writes the status once, before
// it removes finalizers; the removals come back as events, and the next one goes
// on. A job ends in two writes for the same reason: first the condition
// FailureTarget or SuccessCriteriaMet, then, when no pod is left to be counted
// or to end, Failed or Complete.
//
// # What lags
//
// Pods that were asked for and not seen yet are waited for with expectations.
// A job that the cache holds in an older state than was last written is not
// looked at: its counters would be behind its pods.
//
// Pods whose job is gone lose the finalizer in a loop of its own.
package job
