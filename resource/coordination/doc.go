// Package coordination holds the rows of coordination.k8s.io/v1: leases, by
// which parts of the system agree who leads and show that they live.
package coordination

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{Lease()}
}
