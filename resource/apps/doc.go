// Package apps holds the rows of apps/v1, the kinds that keep a set of pods:
// deployments, replica sets, stateful sets, daemon sets, and the revisions in
// which the last two remember what they were. One file per kind; template.go,
// and status.go hold what they share.
//
// The pod spec within a template is defaulted and checked by package core.
package apps

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		ControllerRevision(),
		DaemonSet(),
		Deployment(),
		ReplicaSet(),
		StatefulSet(),
	}
}
