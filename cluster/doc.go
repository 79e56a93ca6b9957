// Package cluster makes, runs and removes clusters: it composes the parts into
// one process (server.go), keeps that process in the background (process.go),
// and knows every file, socket and address that belongs to it (config.go).
//
// # Life of a local cluster
//
//	proa up      check the machine → start "proa server" detached → follow its
//	             progress over a pipe → merge a context into the kubeconfig
//	proa server  lock the data directory → PKI, store and runtime at the same
//	             time → API server → bootstrap objects → controllers, scheduler,
//	             node agent; it runs until a signal
//	proa down    end the process → stop what it ran (containers, mounts,
//	             interfaces, rules, cgroups), also when it was killed before
//
// Everything that a cluster keeps lies under its data directory, and what must
// not outlive a boot under its run directory; one machine can therefore hold
// several clusters.
package cluster
