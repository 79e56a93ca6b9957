// Package policy holds the rows of policy/v1: pod disruption budgets. The
// Eviction kind of the group is served as a subresource of pods, by the row of
// pods.
package policy

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{PodDisruptionBudget()}
}
