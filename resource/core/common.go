package core

import (
	"crypto/tls"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// roundUp rounds quantities up to thousandths, below which none is counted.
func roundUp(l *corev1.ResourceList) {
	for k, q := range *l {
		q.RoundUp(resource.Milli)
		(*l)[k] = q
	}
}

// validateFinalizerName accepts the finalizers that the system knows and any
// name with a domain.
func validateFinalizerName(name string, at *field.Path) field.ErrorList {
	return append(apivalidation.ValidateFinalizerName(name, at), check.Finalizer(name, at)...)
}

// tlsSecretWarnings says so where the key of a TLS secret does not fit its
// certificate: it is stored, but no server will start with it.
func tlsSecretWarnings(s *corev1.Secret) []string {
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// validateBasicQuantity refuses negative amounts.
func validateBasicQuantity(q resource.Quantity, at *field.Path) field.ErrorList {
	if q.Value() < 0 {
		return field.ErrorList{field.Invalid(at, q.Value(), "must be a valid resource quantity")}
	}
	return nil
}
