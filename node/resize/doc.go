// Package resize changes the CPU and the memory of pods that run (KEP-1287).
//
// A pod's resources exist three times over:
//
//	wanted   what the newest spec asks for
//	granted  what the node has promised, within what it can allocate
//	given    what the runtime was last told, for each container
//
// A pod is run as it was granted: [Granted.Apply] makes the pod that the rest of
// the agent sees. A wish that differs is granted, or put off until there is room,
// by the worker manager, which knows the other pods. [Granted.Differs] and
// [Granted.Restarts] say what has to be done for a container, [Ceiling] how big the
// pod's cgroup must be meanwhile, and [TooSmall] which limits may not be lowered now.
//
// [Records] keeps granted and given on disk, in the pod's directory, from the first
// resize on. Before that they are what the pod's status tells ([FromStatus]): every
// status that the agent writes names them.
//
// But for Records all of this is pure.
package resize
