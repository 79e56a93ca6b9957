// Package discovery holds the rows of discovery.k8s.io/v1: endpoint slices, the
// addresses behind services.
package discovery

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{EndpointSlice()}
}
