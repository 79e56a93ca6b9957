// Package controller is the pattern that every controller of Proa follows, and
// the manager that runs them.
//
// A controller drives what is observed towards what is asked for, one key at a
// time. It has three parts, in the files of its own package controller/<name>:
//
//	decide.go   a pure function from the state of one key (objects read from
//	            caches, and the time) to a list of actions and, where time
//	            alone will change the answer, a moment to look again
//	apply.go    what carries out the actions through the clientset
//	<name>.go   New(Env): which objects are watched, and which keys an event
//	            on them touches
//
// The shell is [Loop]: a queue of keys, filled by informer events, in which a
// key waits once however often it was added, is worked on by one worker at a
// time, and comes back later with growing delay when its reconcile fails.
// Reconciling goes by the key and the present state, never by the event, so
// that a missed, repeated or reordered event does no harm.
//
// # What a reconcile returns
//
//	Done                  nothing to do until the next event
//	Again(d)              look again after d, at the latest
//	an error              try again with exponential delay; conflicts and
//	                      "already exists"/"not found" races are such errors
//	                      and are not logged as failures
//
// # Rules
//
//   - Objects from informers are shared with the whole process. Never change
//     one; DeepCopy what is to be written.
//   - A cache may lag behind this controller's own writes. Whoever creates or
//     deletes in numbers counts what it has asked for ([Expectations]) and
//     waits to see it before it counts again. Whoever decides by a status that
//     it writes waits to see what it has written ([Written]).
//   - What several controllers do alike is done in one place: podcontrol for
//     pods and their owners, owned for who owns what, revision for the history
//     of templates, scales for replica counts of any kind, podstate for what is
//     asked about a pod.
//   - Writes carry the resourceVersion or uid that the decision was based on.
//   - No clock, randomness or goroutine but those that come with Env and Loop.
package controller
