package jwt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Bounds of what is fetched of an issuer: its discovery document and its keys.
const (
	fetchTimeout = 30 * time.Second
	maxAnswer    = 1 << 20
	maxRedirects = 3
)

// newClient makes the client that reaches an issuer. authorities is in PEM; empty:
// those of the system.
func newClient(authorities string) (*http.Client, error) {
	var roots *x509.CertPool
	if authorities != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(authorities)) {
			return nil, errors.New("certificateAuthority holds no certificate in PEM")
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: bounded{transport}, Timeout: fetchTimeout, CheckRedirect: checkRedirect}, nil
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "https" {
		return fmt.Errorf("the issuer redirects to %q, which is not https", r.URL.Scheme)
	}
	if len(via) >= maxRedirects {
		return errors.New("the issuer redirects too often")
	}
	return nil
}

// bounded makes large answers errors.
type bounded struct{ *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.Transport.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	}
	return answer, err
}
