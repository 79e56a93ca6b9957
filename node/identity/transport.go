package identity

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// transport sends each request by a connection with the certificate that is the
// current one when the request begins.
type transport struct {
	current func() *tls.Certificate
	config  *tls.Config // without certificate

	mu    sync.Mutex
	with  *tls.Certificate
	inner *http.Transport
}

func newTransport(access *rest.Config, current func() *tls.Certificate) (*transport, error) {
	c := rest.CopyConfig(access)
	c.CertData, c.KeyData, c.CertFile, c.KeyFile = nil, nil, "", ""
	conf, err := rest.TLSConfigFor(c)
	if err != nil {
		return nil, fmt.Errorf("access to the API server: %w", err)
	}
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &transport{current: current, config: conf}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.now().RoundTrip(r)
}

// now is the transport of the current certificate. Where that has expired, the API
// server will say so.
func (t *transport) now() *http.Transport {
	cert := t.current()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inner != nil && (cert == nil || cert == t.with) {
		return t.inner
	}
	was := t.inner
	conf := t.config.Clone()
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	// With HTTP/2, and with pings by which a connection that hangs is noticed.
	t.with, t.inner = cert, utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: conf})
	if was != nil {
		was.CloseIdleConnections() // the others close when they become idle
	}
	return t.inner
}

// CloseIdleConnections lets http.Client close what is not used.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inner != nil {
		t.inner.CloseIdleConnections()
	}
}
