// Package node is the node agent: it brings pods from their sources to running
// containers, and tells the API server how they fare.
//
// [New] wires the parts, each a package of its own below this one, and
// [Agent.Run] lets them go:
//
//	source ─► worker ─► CRI runtime        pods in, containers out
//	             │▲
//	             ││ runtime events, probe verdicts, timers
//	             ▼│
//	           pod.Decide                  what to do: pure
//	             │
//	             └─► status ─► API server  what is
//
//	register  the Node object and its Lease
//	admit     the node's own check of each pod
//	evict     reclaims memory and disk by ending pods
//	server    the HTTPS API on 10250
//	resize    what pods were granted, and changing it while they run
//	volume, image, cgroup, cri, logs      what containers are made of
//
// The agent needs a container runtime and nothing else. Without an API server,
// which may be down, unreachable or never configured, static pods run, restart
// and are probed; what has to be told is told when the server answers.
//
// Stopping the agent, gently or by SIGKILL, stops no container. The next one
// finds what runs and goes on from there.
package node
