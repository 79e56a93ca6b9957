package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"

	"proa/resource"
)

// TokenReview is the row of token reviews: whose token is this?
func TokenReview() *resource.Definition {
	return resource.Row[*authenticationv1.TokenReview]{
		Storage:       authenticationv1.SchemeGroupVersion,
		Kind:          "TokenReview",
		Plural:        "tokenreviews",
		ClusterScoped: true,
		Virtual:       true,
		New:           func() *authenticationv1.TokenReview { return new(authenticationv1.TokenReview) },
	}.Define()
}

// SelfSubjectReview is the row of self subject reviews: who am I?
func SelfSubjectReview() *resource.Definition {
	return resource.Row[*authenticationv1.SelfSubjectReview]{
		Storage:       authenticationv1.SchemeGroupVersion,
		Kind:          "SelfSubjectReview",
		Plural:        "selfsubjectreviews",
		ClusterScoped: true,
		Virtual:       true,
		New:           func() *authenticationv1.SelfSubjectReview { return new(authenticationv1.SelfSubjectReview) },
	}.Define()
}
