// Package scheduling holds the rows of scheduling.k8s.io/v1: priority classes.
package scheduling

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{PriorityClass()}
}
