package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"

	"proa/resource"
)

// SubjectAccessReview is the row of access reviews: may this user do that?
func SubjectAccessReview() *resource.Definition {
	return resource.Row[*authorizationv1.SubjectAccessReview]{
		Storage:       authorizationv1.SchemeGroupVersion,
		Kind:          "SubjectAccessReview",
		Plural:        "subjectaccessreviews",
		ClusterScoped: true,
		Virtual:       true,
		New:           func() *authorizationv1.SubjectAccessReview { return new(authorizationv1.SubjectAccessReview) },
		Validate:      validateSubjectAccessReview,
	}.Define()
}

// LocalSubjectAccessReview is the row of access reviews within one namespace,
// so that asking can be allowed there only.
func LocalSubjectAccessReview() *resource.Definition {
	return resource.Row[*authorizationv1.LocalSubjectAccessReview]{
		Storage:  authorizationv1.SchemeGroupVersion,
		Kind:     "LocalSubjectAccessReview",
		Plural:   "localsubjectaccessreviews",
		Virtual:  true,
		New:      func() *authorizationv1.LocalSubjectAccessReview { return new(authorizationv1.LocalSubjectAccessReview) },
		Validate: validateLocalSubjectAccessReview,
	}.Define()
}

// SelfSubjectAccessReview is the row of reviews of one's own access: may I do
// that?
func SelfSubjectAccessReview() *resource.Definition {
	return resource.Row[*authorizationv1.SelfSubjectAccessReview]{
		Storage:       authorizationv1.SchemeGroupVersion,
		Kind:          "SelfSubjectAccessReview",
		Plural:        "selfsubjectaccessreviews",
		ClusterScoped: true,
		Virtual:       true,
		New:           func() *authorizationv1.SelfSubjectAccessReview { return new(authorizationv1.SelfSubjectAccessReview) },
		Validate:      validateSelfSubjectAccessReview,
	}.Define()
}

// SelfSubjectRulesReview is the row of lists of one's own rights: what may I do
// in this namespace?
func SelfSubjectRulesReview() *resource.Definition {
	return resource.Row[*authorizationv1.SelfSubjectRulesReview]{
		Storage:       authorizationv1.SchemeGroupVersion,
		Kind:          "SelfSubjectRulesReview",
		Plural:        "selfsubjectrulesreviews",
		ClusterScoped: true,
		Virtual:       true,
		New:           func() *authorizationv1.SelfSubjectRulesReview { return new(authorizationv1.SelfSubjectRulesReview) },
	}.Define()
}
