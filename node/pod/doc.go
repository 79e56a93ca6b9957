// Package pod decides what a node must do for one pod.
//
// The package is pure: it never talks to a container runtime, an API server, a
// disk or a clock. Everything it needs arrives in an [Input]: the desired pod,
// what the runtime was last seen to hold ([Observed]), the verdicts of the
// probes, what this process remembers of earlier attempts ([Memory]), the
// operations still under way, and the time. [Decide] answers with a [Plan]: the
// actions to take now, the waiting reasons to show, and the moment at which to
// ask again if nothing happens before. The shell in package worker executes the
// plan and feeds the results back; the same Input always gives the same Plan.
//
// A pod goes through three stages:
//
//	Syncing      the sandbox is made, init containers run one after another,
//	             sidecars (restartable init containers) start in order and stay,
//	             then the app containers run; what exits is restarted as the
//	             restart policy says
//	Terminating  Input.Stop is set: app containers are stopped first, sidecars in
//	             reverse order once their dependents are gone, then the sandbox
//	Stopped      nothing runs and no sandbox is ready; Plan.Stopped says so, and
//	             the shell takes the volumes and the cgroup down
//
// A pod whose containers are all done by their restart policy, or which ran past
// its active deadline, is moved from Syncing to Terminating by Plan.Finish.
//
// Invariants, held by the property tests:
//   - a container that is running, healthy and unchanged is never touched while
//     the pod is Syncing and its sandbox is ready;
//   - no container starts while another instance of the same name runs;
//   - no action is planned for a container or sandbox that has an operation under
//     way, except to shorten a stop;
//   - once Input.Stop is set nothing is started any more.
package pod
