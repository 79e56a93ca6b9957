// Package ingressstatus writes into the status of the Ingresses that the cluster
// itself serves (network/ingress) by which addresses they are reached: those of the
// nodes that are ready and say that they have opened their ports for them, external
// ones where a node has any, else internal ones.
//
// Ingresses of other classes are left alone; whoever serves them writes their status.
package ingressstatus
