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
//
// # Parts alone
//
// The API server writes a kubeconfig for each part that may run alone
// (credentials.go), with upstream's identities, so that none of them acts as
// the operator:
//
//	controller-manager.kubeconfig  system:kube-controller-manager; each
//	                               controller speaks as a service account of
//	                               its own, with a token that it requests
//	scheduler.kubeconfig           system:kube-scheduler
//	kubelet.kubeconfig             system:node:NAME, of the server's own node
//
// They name the files of their certificates, which a client reads again when
// they are renewed. To carry one to another machine, put the files into it with
// "kubectl config view --raw --flatten".
//
// Of several controller managers or schedulers one works: the one that holds
// the Lease in kube-system (election.go). The lease is released when the work
// has ended, and a process that loses it ends, work first. Health is on 10257
// and 10259 for everybody, metrics beside it for those whom the API server
// allows (endpoint.go).
package cluster
