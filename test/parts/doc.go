// Package parts runs the parts of a cluster, an etcd, API server, controllers,
// scheduler, kubelet and service proxy, as processes of their own, each with its
// own identity, and each made by Proa or by upstream. The interchange tests and
// the comparison of speeds stand on it.
//
//	c, err := parts.New(parts.Config{…})   // certificates and kubeconfigs
//	err = c.StartAPI(ctx)                  // store and API server, answering
//	_, err = c.Start(parts.Controllers)
//	err = c.Stop()
//
// All addresses are this machine's; a network namespace of the caller's own keeps
// the ports free. Upstream's programs run with the settings that suit them best:
// no limit of a client's own on its requests, and no election of a leader.
package parts
