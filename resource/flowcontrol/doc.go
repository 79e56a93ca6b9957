// Package flowcontrol holds the rows of flowcontrol.apiserver.k8s.io/v1: flow
// schemas, which say what kind of request belongs to what priority level, and
// priority levels, which say how many requests the server works on at once.
// Package apiserver/fairness goes by them.
//
// Some objects are mandatory: the server makes them, and they hold what they
// must.
package flowcontrol

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{FlowSchema(), PriorityLevelConfiguration()}
}
