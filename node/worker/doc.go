// Package worker runs pods: it is the shell around the decisions of package pod.
//
// [Manager] holds one worker per pod, by UID. A worker is a goroutine that owns
// all state of its pod. It sleeps until something happens (a new desired pod, a
// runtime event, a probe's verdict, an operation that ended, a timer), then
//
//  1. reads the runtime, if it may have changed,
//  2. asks pod.Decide what to do,
//  3. hands the new status to the status writer,
//  4. starts the planned operations, each in a goroutine of its own.
//
// Operations never touch the worker's state; they post their outcome to its
// mailbox as a function that the worker runs. So the worker stays responsive
// while images are pulled or containers take their time to stop, and a deletion
// cuts short whatever was being started.
//
// What surrounds the containers (directories, cgroup, volumes...) is a list of
// small hooks, see setup.go. Making the sandbox needs the first of them; volumes
// are set up beside it.
//
// A pod is run as it was granted (package resize). What its newest version asks for
// beyond that is granted by the Manager, which alone knows all pods, or waits until
// one of them leaves room.
//
// After a restart of the agent the runtime is listed before any pod is accepted.
// A pod found there is adopted as it is: its worker looks before it acts. A pod
// that no source knows any more, once all sources have spoken, is ended by a
// worker made from what the runtime tells about it. A UID that has ended is
// remembered, so that a stale read from the API cannot start it a second time.
package worker
