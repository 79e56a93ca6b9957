// Package e2e runs the real binary with real containers, and drives it with the
// real kubectl.
//
// Every test has a cluster of its own in a network namespace of its own, with
// its data, bridge and cgroups apart from everybody's, and removes it all; the
// parts of a test share it and have a namespace and a user each (user_test.go),
// who types at a kubectl and waits for what the API tells. The programs are
// those in PROA_BIN_DIR, where make puts them; without it they are built.
//
// TestKill kills the server four times, or PROA_KILLS times, at moments from a
// seed that it logs and that PROA_SEED brings back.
//
// TestNodes divides a machine into nodes and does to them what befalls machines.
//
// TestChaos ("make chaos") lets a cluster of three nodes fail from a seed, for a few
// seconds or PROA_MINUTES, while it is used: the server is killed, nodes lose their
// power, are cut off and come back, agents freeze. Users read and write config maps,
// scale, roll and delete deployments, and delete the pod of a stateful set. Then, by
// what they were told (test/history):
//
//	what was acknowledged is there, as it was written last
//	reads and compare-and-swap writes are linearizable
//	watches are ordered, without repetition, tell of every acknowledged write, and
//	agree with each other
//	no node was ever overcommitted
//	the pod of the stateful set never ran twice at once: its process looks for the
//	one before it
//	the cluster converges, and then nothing but heartbeats is written
//
// A seed decides which faults strike when, and what each user does; what the kernel
// and the network make of it differs from run to run.
package e2e
