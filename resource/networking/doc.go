// Package networking holds the rows of networking.k8s.io/v1: ingresses and
// their classes, network policies, the ranges of cluster IPs and the claims on
// them.
package networking

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{Ingress(), IngressClass(), IPAddress(), NetworkPolicy(), ServiceCIDR()}
}
