package certificates

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// FuzzPEM gives both parsers of what a client sends anything at all.
func FuzzPEM(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = validateRequest(data)
		_ = validateCertificate(data)
	})
}

func FuzzSignerName(f *testing.F) {
	for _, s := range []string{"kubernetes.io/kubelet-serving", "/", "a.b/", "./.", "a..b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { ValidateSignerName(s, field.NewPath("spec", "signerName")) })
}
