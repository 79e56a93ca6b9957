package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

// maxRequests is how many requests are worked on at the same time.
const maxRequests = 20_000

// Proxy forwards requests by a table. It is safe for concurrent use.
type Proxy struct {
	table   atomic.Pointer[Table]
	sender  *sender
	reverse *httputil.ReverseProxy
	slots   chan struct{}
	secure  atomic.Int32 // the port of HTTPS, as far as it is known
	log     *slog.Logger
}

// New makes a proxy with an empty table.
func New(log *slog.Logger) *Proxy {
	p := &Proxy{sender: newSender(), slots: make(chan struct{}, maxRequests), log: log}
	p.secure.Store(443)
	p.table.Store(NewTable(nil, nil, nil))
	p.reverse = &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: p.sender, ErrorHandler: p.failed, BufferPool: &buffers{},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p
}

// Use replaces the table for all requests that come.
func (p *Proxy) Use(t *Table) { p.table.Store(t) }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		refuse(w, http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodConnect {
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	host, ok := hostOf(r.Host)
	if !ok {
		refuse(w, http.StatusBadRequest)
		return
	}
	path, ok := canonical(r.URL.EscapedPath())
	if !ok {
		refuse(w, http.StatusBadRequest)
		return
	}
	t := p.table.Load()
	if misdirected(t, r.TLS, host) {
		refuse(w, http.StatusMisdirectedRequest)
		return
	}
	a := t.Find(host, path)
	switch {
	case a == nil:
		refuse(w, http.StatusNotFound)
	case a.HTTPS && r.TLS == nil:
		p.redirect(w, r, host)
	case len(a.Backend.Endpoints().Addresses) == 0:
		refuse(w, http.StatusServiceUnavailable)
	default:
		if r.ProtoMajor == 1 && r.Body != nil && r.Body != http.NoBody {
			r.Body = &patient{ReadCloser: r.Body, control: http.NewResponseController(w)}
		}
		p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), toBackend{}, a.Backend)))
	}
}

func refuse(w http.ResponseWriter, status int) {
	http.Error(w, http.StatusText(status), status)
}

// misdirected tells whether a connection was opened for another certificate than
// that of the host that is asked for.
func misdirected(t *Table, c *tls.ConnectionState, host string) bool {
	if c == nil || c.ServerName == "" {
		return false
	}
	name, ok := hostOf(c.ServerName)
	return !ok || name != host && t.certificate(name) != t.certificate(host)
}

// redirect sends a client to the same place with TLS, to come with the same method.
func (p *Proxy) redirect(w http.ResponseWriter, r *http.Request, host string) {
	switch port := p.secure.Load(); {
	case port != 443:
		host = net.JoinHostPort(host, strconv.Itoa(int(port)))
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	to := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", to.String())
	refuse(w, http.StatusPermanentRedirect)
}
