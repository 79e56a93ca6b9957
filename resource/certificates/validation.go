package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// legacySigner is what requests of earlier API versions are for that named no
// signer.
const legacySigner = "kubernetes.io/legacy-unknown"

// minExpiration in seconds of a requested certificate.
const minExpiration = 600

// allowed says what a write may do that others may not: either because of the
// subresource that it goes through, or because the stored object is like that
// already.
type allowed struct {
	approval    bool // set Approved and Denied conditions
	certificate bool // set the certificate

	anyCertificate      bool
	approvedAndDenied   bool
	duplicateConditions bool
	untypedConditions   bool
	legacySigner        bool
	unknownUsages       bool
	duplicateUsages     bool
}

// allowances are those that follow from the stored object.
func allowances(old *csr) allowed {
	a := allowed{
		anyCertificate: validateCertificate(old.Status.Certificate) != nil,
		approvedAndDenied: len(conditionsOf(old, certificatesv1.CertificateApproved)) > 0 &&
			len(conditionsOf(old, certificatesv1.CertificateDenied)) > 0,
		untypedConditions: len(conditionsOf(old, "")) > 0,
		legacySigner:      old.Spec.SignerName == legacySigner,
	}
	types := map[certificatesv1.RequestConditionType]bool{}
	for _, c := range old.Status.Conditions {
		a.duplicateConditions = a.duplicateConditions || types[c.Type]
		types[c.Type] = true
	}
	seen := map[certificatesv1.KeyUsage]bool{}
	for _, u := range old.Spec.Usages {
		a.duplicateUsages = a.duplicateUsages || seen[u]
		a.unknownUsages = a.unknownUsages || !slices.Contains(usages, u)
		seen[u] = true
	}
	return a
}

func validateCreate(c *csr) field.ErrorList { return validate(c, allowed{}) }

func validate(c *csr, allow allowed) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if err := validateRequest(c.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(spec.Child("request"), c.Spec.Request, err.Error()))
	}
	errs = append(errs, validateUsages(c.Spec.Usages, allow, spec.Child("usages"))...)
	if c.Spec.SignerName == legacySigner && !allow.legacySigner {
		errs = append(errs, field.Invalid(spec.Child("signerName"), c.Spec.SignerName, "the legacy signerName is not allowed via this API version"))
	} else {
		errs = append(errs, ValidateSignerName(c.Spec.SignerName, spec.Child("signerName"))...)
	}
	if s := c.Spec.ExpirationSeconds; s != nil && *s < minExpiration {
		errs = append(errs, field.Invalid(spec.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	errs = append(errs, validateConditions(c.Status.Conditions, allow, field.NewPath("status", "conditions"))...)
	if !allow.anyCertificate {
		if err := validateCertificate(c.Status.Certificate); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
		}
	}
	return errs
}

func validateUpdate(c, old *csr, allow allowed) field.ErrorList {
	errs := validate(c, allow)
	at := field.NewPath("status", "conditions")
	for _, t := range []certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed,
	} {
		was, is := len(conditionsOf(old, t)), len(conditionsOf(c, t))
		switch {
		case is < was:
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("updates may not remove a condition of type %q", t)))
		case is > was && !allow.approval && t != certificatesv1.CertificateFailed:
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("updates may not add a condition of type %q", t)))
		}
	}
	if !bytes.Equal(c.Status.Certificate, old.Status.Certificate) {
		at := field.NewPath("status", "certificate")
		switch {
		case !allow.certificate:
			errs = append(errs, field.Forbidden(at, "updates may not set certificate content"))
		case len(old.Status.Certificate) > 0:
			errs = append(errs, field.Forbidden(at, "updates may not modify existing certificate content"))
		}
	}
	return errs
}

// validateRequest checks that a PEM block holds a well-formed PKCS #10 request
// whose signature is that of the key in it.
func validateRequest(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	return r.CheckSignature()
}

// usages in the order in which messages list them: sorted.
var usages = slices.Sorted(slices.Values([]certificatesv1.KeyUsage{
	certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment,
	certificatesv1.UsageKeyEncipherment, certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment,
	certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly,
	certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
	certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection,
	certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
	certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping, certificatesv1.UsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
}))

func validateUsages(us []certificatesv1.KeyUsage, allow allowed, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(us) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if !allow.unknownUsages {
		for i, u := range us {
			if !slices.Contains(usages, u) {
				errs = append(errs, field.NotSupported(at.Index(i), u, usages))
			}
		}
	}
	if !allow.duplicateUsages {
		for i, u := range us {
			if slices.Contains(us[:i], u) {
				errs = append(errs, field.Duplicate(at.Index(i), u))
			}
		}
	}
	return errs
}

func validateConditions(cs []certificatesv1.CertificateSigningRequestCondition, allow allowed, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range cs {
		at := at.Index(i)
		if c.Type == "" && !allow.untypedConditions {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		statuses := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
		switch c.Type {
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			statuses = []corev1.ConditionStatus{corev1.ConditionTrue}
		}
		switch {
		case c.Status == "":
			errs = append(errs, field.Required(at.Child("status"), ""))
		case !slices.Contains(statuses, c.Status):
			errs = append(errs, field.NotSupported(at.Child("status"), c.Status, statuses))
		}
		repeated := seen[c.Type]
		seen[c.Type] = true
		if seen[certificatesv1.CertificateApproved] && seen[certificatesv1.CertificateDenied] && !allow.approvedAndDenied {
			errs = append(errs, field.Invalid(at.Child("type"), c.Type, "Approved and Denied conditions are mutually exclusive"))
		}
		if repeated && !allow.duplicateConditions {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
	}
	return errs
}

// validateCertificate accepts nothing at all, or PEM blocks of certificates
// with any text between them.
func validateCertificate(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	blocks := 0
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) > 0 {
			return errors.New("no PEM block headers are permitted")
		}
		blocks++
		certs, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return err
		}
		if len(certs) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
		data = rest
	}
	if blocks == 0 {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}
