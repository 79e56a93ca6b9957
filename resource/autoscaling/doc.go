// Package autoscaling holds the rows of the autoscaling group, and the Scale
// view that workload kinds of other groups give of their objects (scale.go).
//
// Horizontal pod autoscalers are stored as v2 and served as v1 too, whose
// fields know of one metric only: the rest stands in annotations there
// (hpa_v1.go), so that a client of v1 does not lose what it cannot see.
package autoscaling

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{HorizontalPodAutoscaler()}
}
