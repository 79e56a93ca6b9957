// Package authentication holds the rows of authentication.k8s.io/v1: reviews
// that say who someone is. They are answered by the API server and never
// stored.
package authentication

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{SelfSubjectReview(), TokenReview()}
}
