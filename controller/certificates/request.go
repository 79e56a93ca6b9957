package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
)

// Who nodes are to the API server.
const (
	nodeGroup  = "system:nodes"
	nodePrefix = "system:node:"
)

type request = certificatesv1.CertificateSigningRequest

// parse reads what is to be signed.
func parse(r *request) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// condition returns the condition of a type, nil where there is none.
func condition(r *request, t certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequestCondition {
	i := slices.IndexFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t })
	if i < 0 {
		return nil
	}
	return &r.Status.Conditions[i]
}

// decided reports whether somebody has said yes or no.
func decided(r *request) bool {
	return condition(r, certificatesv1.CertificateApproved) != nil || condition(r, certificatesv1.CertificateDenied) != nil
}

// The rules of the signers. Each returns why a request is outside of them.

func checkNodeClient(c *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := checkNodeSubject(c); err != nil {
		return err
	}
	switch {
	case len(c.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(c.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	}
	return exactUsages(usages, certificatesv1.UsageClientAuth)
}

func checkNodeServing(c *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := checkNodeSubject(c); err != nil {
		return err
	}
	if len(c.DNSNames) == 0 && len(c.IPAddresses) == 0 {
		return errors.New("DNS or IP subjectAltName is required")
	}
	return exactUsages(usages, certificatesv1.UsageServerAuth)
}

// checkNodeSubject: the certificate names a node and nothing else.
func checkNodeSubject(c *x509.CertificateRequest) error {
	switch {
	case !slices.Equal(c.Subject.Organization, []string{nodeGroup}):
		return errors.New("subject organization is not system:nodes")
	case len(c.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed") //nolint:staticcheck // upstream's words
	case len(c.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	case !strings.HasPrefix(c.Subject.CommonName, nodePrefix):
		return errors.New("subject common name does not begin with system:node:")
	}
	return nil
}

// exactUsages: a signature and the purpose; encipherment of keys, which only
// RSA has, or not.
func exactUsages(have []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	want := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, purpose}
	for _, u := range have {
		if !slices.Contains(want, u) {
			return fmt.Errorf("usages did not match %v", want)
		}
	}
	if !slices.Contains(have, want[0]) || !slices.Contains(have, purpose) {
		return fmt.Errorf("usages did not match %v", want)
	}
	return nil
}

func checkClient(usages []certificatesv1.KeyUsage) error {
	client := false
	for _, u := range usages {
		switch u {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment:
		case certificatesv1.UsageClientAuth:
			client = true
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", u)
		}
	}
	if !client {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

func conditionOf(t certificatesv1.RequestConditionType, reason, message string) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{Type: t, Status: v1.ConditionTrue, Reason: reason, Message: message}
}
