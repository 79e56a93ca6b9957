// Package critest is a container runtime in memory, for tests: a twin of a real
// one that keeps CRI's rules and tells when its caller breaks one that a real
// runtime would forgive.
//
// Containers do what [Runtime.Program] says for their image: run for a while, exit
// with a code, take their time to stop, or not start at all. Time is package
// time's, so tests run under testing/synctest. Every call is recorded, can be
// made to fail with [Runtime.Fail], and can be printed with [Runtime.Log].
//
// What is refused, as a runtime refuses it: a sandbox or container of a name that
// exists, a container in a sandbox that is not ready or with an image that is not
// there, starting what is not freshly created. What is counted as a violation,
// though a runtime would let it pass: two instances of one container running at
// once, removing a container that runs, two ready sandboxes of one pod.
package critest
