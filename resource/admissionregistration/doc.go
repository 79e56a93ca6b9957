// Package admissionregistration holds the rows of
// admissionregistration.k8s.io/v1: the webhooks and the CEL policies that
// admission asks, one file per kind.
//
// Validation compiles every CEL expression, so that one which cannot run is
// refused when it is written and not when it is needed. An expression that is
// stored already is compiled by the rules of stored ones, and match conditions
// that have not changed are not looked at again.
//
// Whether the author of a policy may read its parameters is decided with the
// authorizer at hand, in package admission/paramaccess.
package admissionregistration

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		MutatingAdmissionPolicy(),
		MutatingAdmissionPolicyBinding(),
		MutatingWebhookConfiguration(),
		ValidatingAdmissionPolicy(),
		ValidatingAdmissionPolicyBinding(),
		ValidatingWebhookConfiguration(),
	}
}
