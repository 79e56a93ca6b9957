package aggregator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"proa/apiserver/backend"
	"proa/auth"
	"proa/auth/frontproxy"
	"proa/resource/apiregistration"
)

// proxy passes requests on to one server.
type proxy struct {
	server *server
	host   string
	// failed says why no connection can be made, if so.
	failed error
	// plain speaks HTTP/2 where it can; upgrading does not, since only HTTP/1.1
	// can change to another protocol.
	plain, upgrading *http.Transport
}

func newProxy(a *Aggregator, s *server, o *apiregistration.APIService) *proxy {
	p := &proxy{server: s, host: net.JoinHostPort(s.service.Name+"."+s.service.Namespace+".svc", s.port)}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: s.service.Name + "." + s.service.Namespace + ".svc",
		InsecureSkipVerify:   o.Spec.InsecureSkipTLSVerify, //nolint:gosec // as the API service says
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return a.Certificate(), nil },
	}
	if len(o.Spec.CABundle) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(o.Spec.CABundle) {
			p.failed = errors.New("unable to load root certificates: unable to parse bytes as PEM block")
		}
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		at, err := a.Resolve(ctx, s.service.Namespace, s.service.Name, s.port)
		if err != nil {
			return nil, err
		}
		return a.Dial(ctx, network, at.String())
	}
	p.plain = &http.Transport{DialContext: dial, TLSClientConfig: t, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idle}
	p.upgrading = &http.Transport{DialContext: dial, TLSClientConfig: t.Clone(), TLSHandshakeTimeout: dialTimeout, DisableKeepAlives: true}
	return p
}

// idle is how long a connection is kept that nobody uses.
const idle = 90 * time.Second

func (p *proxy) close() {
	p.plain.CloseIdleConnections()
	p.upgrading.CloseIdleConnections()
}

func (p *proxy) url(path string) string { return "https://" + p.host + path }

var errRedirect = errors.New("the backend attempted to redirect this request, which is not permitted")

// ServeHTTP passes a request on as that of the user whom its context names.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := s.proxy
	user := auth.UserFrom(r.Context())
	switch {
	case !s.available.Load():
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	case p.failed != nil:
		http.Error(w, p.failed.Error(), http.StatusInternalServerError)
		return
	case user == nil:
		http.Error(w, "missing user", http.StatusInternalServerError)
		return
	}
	transport := p.plain
	if r.Header.Get("Upgrade") != "" && strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade") {
		transport = p.upgrading
	}
	out := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // watches are read as they come
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = &url.URL{Scheme: "https", Host: p.host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			pr.Out.Host = p.host
			backend.DropCredentials(pr.Out.Header)
			identify(pr.Out.Header, user)
			pr.SetXForwarded()
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
				return errRedirect
			}
			// These are this server's to say.
			resp.Header.Del("Audit-Id")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return
			}
			code := http.StatusServiceUnavailable
			if errors.Is(err, errRedirect) {
				code = http.StatusBadGateway
			}
			s.a.Log.Warn("a request was not passed on to another API server", "service", s.service.String(), "err", err)
			http.Error(w, fmt.Sprintf("error trying to reach service: %v", err), code)
			// What is broken is found out now rather than at the next look.
			s.ask()
		},
	}
	out.ServeHTTP(w, r)
}

// identify says who asks, as a front proxy does.
func identify(h http.Header, u *auth.User) {
	h.Set(frontproxy.UserHeader, u.Name)
	if u.UID != "" {
		h.Set(frontproxy.UIDHeader, u.UID)
	}
	h.Del(frontproxy.GroupHeader)
	for _, g := range u.Groups {
		h.Add(frontproxy.GroupHeader, g)
	}
	for k, values := range u.Extra {
		for _, v := range values {
			h.Add(frontproxy.ExtraPrefix+escape(k), v)
		}
	}
}

// escape writes what cannot stand in the name of a header as %XX.
func escape(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&'*+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
