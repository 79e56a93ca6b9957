// Package authorization holds the rows of authorization.k8s.io/v1: reviews that
// say who may do what. They are answered by the API server and never stored.
package authorization

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		LocalSubjectAccessReview(),
		SelfSubjectAccessReview(),
		SelfSubjectRulesReview(),
		SubjectAccessReview(),
	}
}
