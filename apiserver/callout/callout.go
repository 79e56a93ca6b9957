// Package callout calls, over HTTPS, what a cluster's configuration names: the
// webhooks of admission and of the conversion of custom resources.
//
// Who is called is not trusted with more than an answer: it may not lead
// elsewhere by a redirect (CVE-2020-8561), its answer is bounded, and so are the
// time that it may take (by the context) and the connections to it. It is
// verified by its own CA or else by those of the system, under the name
// SERVICE.NAMESPACE.svc where a service is called, and is shown no credentials.
//
// Connections are kept and shared by all calls that go to the same place.
// HTTP/2 is spoken only with this machine itself: over one connection every
// request of a service would end at the same of its endpoints.
package callout

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"proa/apiserver/backend"
)

const (
	// MaxAnswer is the size in bytes of the largest answer: a patch that
	// replaces the largest object, in base 64, with room for the rest.
	MaxAnswer = 6 << 20
	// maxClients bounds the places to which connections are kept.
	maxClients = 200
	// maxConnections to one place.
	maxConnections = 128
	idle           = 90 * time.Second
	dialTimeout    = 10 * time.Second
)

// Target is where to call: a URL or a service.
type Target struct {
	// URL, without a query. Empty where Service is set.
	URL     string
	Service *Service
	// CA verifies the one who is called, in PEM. The system's are used where it
	// is empty.
	CA []byte
}

// Service is a port of a service of the cluster.
type Service struct {
	Namespace, Name, Path string
	Port                  int32
}

// Caller calls. Safe for concurrent use.
type Caller struct {
	services backend.Services
	dial     func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex
	clients map[string]*client
	uses    int64
}

type client struct {
	http *http.Client
	rest *rest.RESTClient
	used int64
}

// New makes a caller that finds services through the API. Dial makes
// connections; nil is that of package net.
func New(services backend.Services, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Caller {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	return &Caller{services: services, dial: dial, clients: map[string]*client{}}
}

// TargetError says why a target cannot be called at all.
type TargetError struct{ Err error }

func (e *TargetError) Error() string { return e.Err.Error() }
func (e *TargetError) Unwrap() error { return e.Err }

// Post sends JSON and returns the body of the answer. An error is a
// *TargetError where nothing was sent; otherwise it reads as those of
// client-go, and is an API status where the other side has answered with a
// failure.
func (c *Caller) Post(ctx context.Context, t Target, body []byte) ([]byte, error) {
	client, err := c.client(t)
	if err != nil {
		return nil, &TargetError{err}
	}
	r := client.rest.Post().SetHeader("Content-Type", "application/json").Body(body)
	if end, ok := ctx.Deadline(); ok {
		if left := time.Until(end); left > 0 {
			// The other side is told in whole seconds, never less than it has.
			r.Timeout((left + time.Second - 1).Truncate(time.Second))
		}
	}
	res := r.Do(ctx)
	if err := res.Error(); err != nil {
		return nil, err
	}
	return res.Raw()
}

// client returns the one that calls a place, and forgets the one that has not
// been used for longest where there are too many.
func (c *Caller) client(t Target) (*client, error) {
	key := t.key()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
	if cl := c.clients[key]; cl != nil {
		cl.used = c.uses
		return cl, nil
	}
	cl, err := c.connect(t)
	if err != nil {
		return nil, err
	}
	if len(c.clients) >= maxClients {
		oldest := ""
		for k, o := range c.clients {
			if oldest == "" || o.used < c.clients[oldest].used {
				oldest = k
			}
		}
		c.clients[oldest].http.CloseIdleConnections()
		delete(c.clients, oldest)
	}
	cl.used = c.uses
	c.clients[key] = cl
	return cl, nil
}

// Close closes connections that are not in use.
func (c *Caller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cl := range c.clients {
		cl.http.CloseIdleConnections()
	}
}

func (t Target) key() string {
	if s := t.Service; s != nil {
		return fmt.Sprintf("%q %q %q %d %s", s.Namespace, s.Name, s.Path, s.Port, t.CA)
	}
	return fmt.Sprintf("%q %s", t.URL, t.CA)
}

func (c *Caller) connect(t Target) (*client, error) {
	base, path, secure, err := t.place()
	if err != nil {
		return nil, err
	}
	conf, err := transport.TLSConfigFor(&transport.Config{TLS: secure})
	if err != nil {
		return nil, err
	}
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	tr := &http.Transport{
		DialContext: c.dial, TLSClientConfig: conf, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idle,
		MaxIdleConnsPerHost: 25, MaxConnsPerHost: maxConnections, Proxy: http.ProxyFromEnvironment,
		ForceAttemptHTTP2: len(secure.NextProtos) == 0,
	}
	if s := t.Service; s != nil {
		tr.Proxy = nil
		tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			a, err := backend.OfService(ctx, c.services, s.Namespace, s.Name, strconv.Itoa(int(s.Port)))
			if err != nil {
				return nil, err
			}
			return c.dial(ctx, network, a.String())
		}
	}
	h := &http.Client{
		Transport:     bounded{tr},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := rest.UnversionedRESTClientForConfigAndClient(&rest.Config{
		Host: base, APIPath: path, QPS: -1,
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs.WithoutConversion()},
	}, h)
	if err != nil {
		return nil, err
	}
	return &client{http: h, rest: r}, nil
}

// place is the base URL and path of a target, and how it is verified.
func (t Target) place() (base, path string, secure transport.TLSConfig, err error) {
	secure = transport.TLSConfig{CAData: t.CA, NextProtos: []string{"http/1.1"}}
	if s := t.Service; s != nil {
		secure.ServerName = s.Name + "." + s.Namespace + ".svc"
		return "https://" + net.JoinHostPort(secure.ServerName, strconv.Itoa(int(s.Port))), s.Path, secure, nil
	}
	if t.URL == "" {
		return "", "", secure, errors.New("webhook configuration must have either service or URL")
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return "", "", secure, fmt.Errorf("Unparsable URL: %v", err) //nolint:staticcheck // upstream's words
	}
	if local(u.Hostname()) {
		secure.NextProtos = nil
	}
	return u.Scheme + "://" + u.Host, u.Path, secure, nil
}

// local reports whether a host is this machine.
func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}

// bounded cuts answers that are too large.
type bounded struct{ next *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: MaxAnswer}
	return resp, nil
}

func (b bounded) CloseIdleConnections() { b.next.CloseIdleConnections() }

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		return b.left, fmt.Errorf("the answer is larger than %d bytes", MaxAnswer)
	}
	b.left -= n
	return n, err
}
