// Package observe reads what a CRI runtime holds and turns it into the values
// package pod decides on.
//
// [Observer.Pod] reads one pod in full, [Observer.All] lists every pod briefly
// (two calls, whatever the number of containers), and [EventOf] reads the
// runtime's own container events. Events only say "look again": the state is
// always read from the runtime, never assembled from event payloads, so a lost,
// late or repeated event costs nothing but time. The slow relist that the agent
// runs beside the events bounds that time.
//
// A runtime without an event stream is served by relisting more often; that is
// the only case in which the agent polls.
package observe
