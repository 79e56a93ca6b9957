package ingressstatus

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"proa/controller/loadbalancer"
	"proa/network/ingress"
)

// maxAddresses bounds what an Ingress gets in a cluster of very many nodes.
const maxAddresses = 64

// decide returns the addresses of the nodes that serve, by the nodes' names.
func decide(nodes []*v1.Node) []networkingv1.IngressLoadBalancerIngress {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b *v1.Node) int { return cmp.Compare(a.Name, b.Name) })
	var out []networkingv1.IngressLoadBalancerIngress
	for _, n := range nodes {
		if n.DeletionTimestamp != nil || n.Annotations[ingress.Announcement] == "" || !loadbalancer.Ready(n) {
			continue
		}
		for _, a := range loadbalancer.Addresses(n) {
			out = append(out, networkingv1.IngressLoadBalancerIngress{IP: a.String()})
		}
	}
	return out[:min(len(out), maxAddresses)]
}
