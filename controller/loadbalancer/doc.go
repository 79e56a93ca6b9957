// Package loadbalancer gives services of type LoadBalancer the addresses of nodes:
// the load balancer of a cluster that runs where nobody else provides one. No pod is
// run for it. The service proxy of a node already takes what comes for an address in
// a service's status; here the addresses are decided on.
//
// A service gets the addresses of all nodes that are ready and not excluded (label
// node.kubernetes.io/exclude-from-external-load-balancers), external ones where a node
// has any, else internal ones; of very many, the first 64 by the names of the nodes. Where some node carries the label [NodeLabel], only
// nodes with it are used. With externalTrafficPolicy Local, which keeps the client's
// address, only nodes that run a pod of the service are.
//
// A port of an address belongs to one service, the first one that asked; the ports
// of the API server, of node agents, and those on which a node serves Ingresses belong
// to none. (A node does not open those while a service has them.) Who gets no address at all is
// told why by an event, and waits.
//
// Services with another loadBalancerClass than [Class] are left alone, and so are all
// where the cluster is told to (network.loadBalancer: none), since then another
// controller provides for them.
package loadbalancer
