package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// dialTimeout is how long an endpoint has to accept a connection.
	dialTimeout = 5 * time.Second
	// answerTimeout is how long it has from the end of a request to the first line
	// of its answer.
	answerTimeout = 60 * time.Second
	// maxAnswerHeader bounds the header of an answer.
	maxAnswerHeader = 256 << 10
	// idleEndpoint is how long a connection to an endpoint is kept for the next
	// request, and maxIdle and maxIdlePerEndpoint how many of them.
	idleEndpoint                = 30 * time.Second
	maxIdle, maxIdlePerEndpoint = 1024, 32
	// pingAfter is how long a connection of HTTP/2 may be silent before the endpoint
	// is asked whether it is there.
	pingAfter = 15 * time.Second
	// maxTries is how many endpoints are tried for a request.
	maxTries = 3
)

var errNoEndpoint = errors.New("no endpoint is ready")

// sender sends requests to the endpoints of their backend.
type sender struct {
	// plain is by protocol; upgrade is HTTP/1.1 in TLS, which WebSockets need.
	plain   [3]http.RoundTripper
	upgrade http.RoundTripper
}

func newSender() *sender {
	make := func(protocols ...func(*http.Protocols, bool)) *http.Transport {
		t := &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: maxAnswerHeader,
			IdleConnTimeout: idleEndpoint, MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdlePerEndpoint,
			DisableCompression: true, ExpectContinueTimeout: time.Second, Protocols: new(http.Protocols),
			// A connection of HTTP/2 is for many requests, and has to be given up where
			// its endpoint has gone without a word.
			HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: dialTimeout},
			// See the comment of the package.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as above
		}
		for _, set := range protocols {
			set(t.Protocols, true)
		}
		return t
	}
	h1, h2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2
	return &sender{
		plain:   [3]http.RoundTripper{HTTP: make(h1), H2C: make(h2c), HTTPS: make(h1, h2)},
		upgrade: make(h1),
	}
}

func (s *sender) transport(p Protocol, upgrade bool) http.RoundTripper {
	switch {
	case !upgrade:
		return s.plain[p]
	case p == HTTPS:
		return s.upgrade
	}
	return s.plain[HTTP]
}

// toBackend is the key of a request's backend in its context.
type toBackend struct{}

// RoundTrip implements http.RoundTripper. It tries another endpoint where no
// connection to one can be made, and never once anything was sent.
func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	b, _ := r.Context().Value(toBackend{}).(*Backend)
	upgrade := r.Header.Get("Upgrade") != ""
	err := errNoEndpoint
	var tried []netip.AddrPort
	for range maxTries {
		to, protocol, ok := b.next(tried)
		if !ok {
			break
		}
		tried = append(tried, to)
		out := r.WithContext(r.Context())
		u := *r.URL
		u.Scheme, u.Host = "http", to.String()
		if protocol == HTTPS {
			u.Scheme = "https"
		}
		out.URL = &u
		if r.Body != nil && r.Body != http.NoBody {
			// The next try needs it, and the reverse proxy closes it in the end.
			out.Body = io.NopCloser(r.Body)
		}
		var in *http.Response
		if in, err = s.transport(protocol, upgrade).RoundTrip(out); err == nil {
			return in, nil
		}
		if !notConnected(err) || r.Context().Err() != nil {
			return nil, err
		}
	}
	return nil, err
}

// notConnected tells whether an error is that there was no connection at all.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// CloseIdle closes the connections to endpoints that no request uses.
func (s *sender) CloseIdle() {
	for _, t := range append(s.plain[:], s.upgrade) {
		t.(*http.Transport).CloseIdleConnections()
	}
}

// rewrite makes the request that is sent of the one that came.
func rewrite(r *httputil.ProxyRequest) {
	for name := range r.Out.Header {
		if claims(name) {
			delete(r.Out.Header, name)
		}
	}
	// Where it goes is decided by sender.
	r.Out.URL.Scheme, r.Out.URL.Host = "http", "endpoint"
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = r.In.Host
	r.SetXForwarded()
	port := "80"
	if r.In.TLS != nil {
		port = "443"
	}
	if a, ok := r.In.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		port = strconv.Itoa(a.Port)
	}
	r.Out.Header.Set("X-Forwarded-Port", port)
	if client, _, err := net.SplitHostPort(r.In.RemoteAddr); err == nil {
		r.Out.Header.Set("X-Real-Ip", client)
	}
}

// claims tells whether a header is one in which only a proxy may say who a client
// is, in any spelling that a backend may take for it.
func claims(header string) bool {
	h := strings.ToLower(strings.ReplaceAll(header, "_", "-"))
	switch h {
	case "forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "x-original-forwarded-for",
		"x-original-url", "x-rewrite-url", "x-original-host", "x-scheme", "x-url-scheme", "front-end-https",
		// A CGI program would read it as its own proxy (CVE-2016-5385).
		"proxy":
		return true
	}
	return strings.HasPrefix(h, "x-forwarded-")
}

// failed answers a request that no endpoint has answered.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	var timeout net.Error
	status := http.StatusBadGateway
	switch {
	case errors.Is(r.Context().Err(), context.Canceled):
		return // nobody is there any more
	case errors.Is(err, errNoEndpoint):
		status = http.StatusServiceUnavailable
	case errors.As(err, &timeout) && timeout.Timeout():
		status = http.StatusGatewayTimeout
	}
	p.log.Debug("a request could not be forwarded", "host", r.Host, "err", err)
	http.Error(w, http.StatusText(status), status)
}

// buffers lends what bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
