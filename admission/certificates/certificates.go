// Package certificates holds the admission plugins of certificate signing
// requests: CertificateApproval and CertificateSigning ask whether a user may
// approve and sign for the signer of a request, and CertificateSubjectRestriction
// refuses requests for a certificate that no policy could ever limit.
package certificates

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"proa/admission"
	"proa/auth"
	"proa/resource"
)

func isRequest(def *resource.Definition) bool {
	return admission.Is(def, certificatesv1.GroupName, "certificatesigningrequests")
}

// mayFor asks whether a user may do something for a signer, by its name or by
// that of its whole domain.
func mayFor(ctx context.Context, z auth.Authorizer, u *auth.User, verb, signer string) bool {
	names := []string{signer}
	if domain, _, ok := strings.Cut(signer, "/"); ok {
		names = append(names, domain+"/*")
	}
	for _, n := range names {
		d, _, err := z.Authorize(ctx, &auth.Attributes{
			User: u, Verb: verb, IsResource: true, Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: n,
		})
		if err == nil && d == auth.Allow {
			return true
		}
	}
	return false
}

// both returns the request as it is to be and as it was.
func both(a *admission.Attributes) (now, old *certificatesv1.CertificateSigningRequest, err error) {
	now, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil, nil, fmt.Errorf("expected type CertificateSigningRequest, got: %T", a.Object)
	}
	old, ok = a.Old.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil, nil, fmt.Errorf("expected type CertificateSigningRequest, got: %T", a.Old)
	}
	return now, old, nil
}

// Approval is the plugin CertificateApproval.
type Approval struct{ authorizer auth.Authorizer }

// NewApproval makes the plugin CertificateApproval.
func NewApproval(z auth.Authorizer) *Approval { return &Approval{z} }

// Name implements [admission.Plugin].
func (*Approval) Name() string { return "CertificateApproval" }

// Handles implements [admission.Plugin].
func (*Approval) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Update && subresource == "approval" && isRequest(def)
}

// Validate implements [admission.Validator].
func (p *Approval) Validate(ctx context.Context, a *admission.Attributes) error {
	_, old, err := both(a)
	if err != nil {
		return admission.Forbidden(a, err)
	}
	if !mayFor(ctx, p.authorizer, a.User, "approve", old.Spec.SignerName) {
		return admission.Forbidden(a, fmt.Errorf("user not permitted to approve requests with signerName %q", old.Spec.SignerName))
	}
	return nil
}

// Signing is the plugin CertificateSigning.
type Signing struct{ authorizer auth.Authorizer }

// NewSigning makes the plugin CertificateSigning.
func NewSigning(z auth.Authorizer) *Signing { return &Signing{z} }

// Name implements [admission.Plugin].
func (*Signing) Name() string { return "CertificateSigning" }

// Handles implements [admission.Plugin].
func (*Signing) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Update && subresource == "status" && isRequest(def)
}

// Validate implements [admission.Validator].
func (p *Signing) Validate(ctx context.Context, a *admission.Attributes) error {
	now, old, err := both(a)
	if err != nil {
		return admission.Forbidden(a, err)
	}
	if bytes.Equal(now.Status.Certificate, old.Status.Certificate) &&
		equality.Semantic.DeepEqual(now.Status.Conditions, old.Status.Conditions) {
		return nil
	}
	if !mayFor(ctx, p.authorizer, a.User, "sign", old.Spec.SignerName) {
		return admission.Forbidden(a, fmt.Errorf("user not permitted to sign requests with signerName %q", old.Spec.SignerName))
	}
	return nil
}

// Subject is the plugin CertificateSubjectRestriction: what is in
// system:masters passes all authorizers, so no certificate for it comes out of
// the API.
type Subject struct{}

// NewSubject makes the plugin CertificateSubjectRestriction.
func NewSubject() *Subject { return &Subject{} }

// Name implements [admission.Plugin].
func (*Subject) Name() string { return "CertificateSubjectRestriction" }

// Handles implements [admission.Plugin].
func (*Subject) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && subresource == "" && isRequest(def)
}

// Validate implements [admission.Validator].
func (*Subject) Validate(_ context.Context, a *admission.Attributes) error {
	r, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	csr, err := parse(r.Spec.Request)
	if err != nil {
		return admission.Forbidden(a, fmt.Errorf("failed to parse CSR: %w", err))
	}
	if slices.Contains(csr.Subject.Organization, auth.GroupMasters) {
		return admission.Forbidden(a, fmt.Errorf("use of %s signer with %s group is not allowed", certificatesv1.KubeAPIServerClientSignerName, auth.GroupMasters))
	}
	return nil
}

func parse(data []byte) (*x509.CertificateRequest, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(b.Bytes)
}
