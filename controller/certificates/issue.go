package certificates

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// Signer is a certificate authority: its present certificate and its key.
type Signer func() (*x509.Certificate, crypto.Signer)

const (
	// lifetime of certificates that do not ask for less.
	lifetime = 365 * 24 * time.Hour
	// least that can be asked for.
	leastLifetime = 10 * time.Minute
	// backdate lets those accept a new certificate whose clock is behind.
	backdate = 5 * time.Minute
	// briefLifetime: below it backdating does not shorten a certificate.
	briefLifetime = 8 * time.Hour
)

// legacyUnknown is the signer of requests of the first version of the API,
// which had no signers. It is bound to no rules.
const legacyUnknown = "kubernetes.io/legacy-unknown"

// checks are the rules of the signers that are ours.
var checks = map[string]func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error{
	certificatesv1.KubeAPIServerClientSignerName: func(_ *x509.CertificateRequest, u []certificatesv1.KeyUsage) error {
		return checkClient(u)
	},
	certificatesv1.KubeAPIServerClientKubeletSignerName: checkNodeClient,
	certificatesv1.KubeletServingSignerName:             checkNodeServing,
	legacyUnknown:                                       func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error { return nil },
}

// lifetimeOf is how long the certificate of a request is to live.
func lifetimeOf(r *request) time.Duration {
	if r.Spec.ExpirationSeconds == nil {
		return lifetime
	}
	return min(max(time.Duration(*r.Spec.ExpirationSeconds)*time.Second, leastLifetime), lifetime)
}

// template is the certificate that a request asks for, within its lifetime and
// that of the authority.
func template(r *request, c *x509.CertificateRequest, authority *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	if !now.Before(authority.NotAfter) {
		return nil, fmt.Errorf("refusing to sign: the certificate authority has expired on %s", authority.NotAfter.Format(time.RFC3339))
	}
	use, extended, err := usages(r.Spec.Usages)
	if err != nil {
		return nil, err
	}
	life := lifetimeOf(r)
	from := now.Add(-backdate)
	until := from.Add(life)
	if life < briefLifetime {
		until = now.Add(life)
	}
	if until.After(authority.NotAfter) {
		until = authority.NotAfter
	}
	return &x509.Certificate{
		Subject: c.Subject, DNSNames: c.DNSNames, IPAddresses: c.IPAddresses, EmailAddresses: c.EmailAddresses, URIs: c.URIs,
		NotBefore: from, NotAfter: until, KeyUsage: use, ExtKeyUsage: extended, BasicConstraintsValid: true,
	}, nil
}

// issue signs what a request asks for and returns it in PEM form.
func issue(r *request, c *x509.CertificateRequest, signer Signer, now time.Time) ([]byte, error) {
	authority, key := signer()
	t, err := template(r, c, authority, now)
	if err != nil {
		return nil, err
	}
	if err := c.CheckSignature(); err != nil {
		return nil, fmt.Errorf("unable to verify certificate request signature: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, authority, c.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

var errNoUsages = errors.New("the request names no usages")

var keyUsages = map[certificatesv1.KeyUsage]x509.KeyUsage{
	certificatesv1.UsageSigning:           x509.KeyUsageDigitalSignature,
	certificatesv1.UsageDigitalSignature:  x509.KeyUsageDigitalSignature,
	certificatesv1.UsageContentCommitment: x509.KeyUsageContentCommitment,
	certificatesv1.UsageKeyEncipherment:   x509.KeyUsageKeyEncipherment,
	certificatesv1.UsageKeyAgreement:      x509.KeyUsageKeyAgreement,
	certificatesv1.UsageDataEncipherment:  x509.KeyUsageDataEncipherment,
	certificatesv1.UsageCertSign:          x509.KeyUsageCertSign,
	certificatesv1.UsageCRLSign:           x509.KeyUsageCRLSign,
	certificatesv1.UsageEncipherOnly:      x509.KeyUsageEncipherOnly,
	certificatesv1.UsageDecipherOnly:      x509.KeyUsageDecipherOnly,
}

var extendedUsages = map[certificatesv1.KeyUsage]x509.ExtKeyUsage{
	certificatesv1.UsageAny:             x509.ExtKeyUsageAny,
	certificatesv1.UsageServerAuth:      x509.ExtKeyUsageServerAuth,
	certificatesv1.UsageClientAuth:      x509.ExtKeyUsageClientAuth,
	certificatesv1.UsageCodeSigning:     x509.ExtKeyUsageCodeSigning,
	certificatesv1.UsageEmailProtection: x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageSMIME:           x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageIPsecEndSystem:  x509.ExtKeyUsageIPSECEndSystem,
	certificatesv1.UsageIPsecTunnel:     x509.ExtKeyUsageIPSECTunnel,
	certificatesv1.UsageIPsecUser:       x509.ExtKeyUsageIPSECUser,
	certificatesv1.UsageTimestamping:    x509.ExtKeyUsageTimeStamping,
	certificatesv1.UsageOCSPSigning:     x509.ExtKeyUsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC:    x509.ExtKeyUsageMicrosoftServerGatedCrypto,
	certificatesv1.UsageNetscapeSGC:     x509.ExtKeyUsageNetscapeServerGatedCrypto,
}

// usages translates the names of usages.
func usages(names []certificatesv1.KeyUsage) (x509.KeyUsage, []x509.ExtKeyUsage, error) {
	if len(names) == 0 {
		return 0, nil, errNoUsages
	}
	var use x509.KeyUsage
	var extended []x509.ExtKeyUsage
	seen := map[x509.ExtKeyUsage]bool{}
	for _, n := range names {
		if u, ok := keyUsages[n]; ok {
			use |= u
			continue
		}
		u, ok := extendedUsages[n]
		if !ok {
			return 0, nil, fmt.Errorf("unrecognized usage %q", n)
		}
		if !seen[u] {
			seen[u] = true
			extended = append(extended, u)
		}
	}
	return use, extended, nil
}
