// Package certificates holds the rows of certificates.k8s.io/v1: certificate
// signing requests.
//
// Three parties write one request, each through its own door: who asks creates
// it, an approver adds a condition through /approval, and a signer adds the
// certificate through /status. The hooks of the row keep each to its part.
package certificates

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{CertificateSigningRequest()}
}
