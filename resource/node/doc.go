// Package node holds the rows of node.k8s.io/v1: runtime classes, the ways in
// which a node can run containers.
package node

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{RuntimeClass()}
}
