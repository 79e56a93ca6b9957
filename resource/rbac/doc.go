// Package rbac holds the rows of rbac.authorization.k8s.io/v1: roles and
// cluster roles, and the bindings that grant them, one file per kind.
//
// A row says only what a well-formed role or binding is. Whether the one who
// writes it may grant so much (the escalate and bind checks) is decided with
// the authorizer at hand, in package auth.
package rbac

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		ClusterRole(),
		ClusterRoleBinding(),
		Role(),
		RoleBinding(),
	}
}
