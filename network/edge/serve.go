package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

const (
	// maxHeader bounds the header of a request, and headerTimeout the time for it
	// and for a TLS handshake.
	maxHeader, headerTimeout = 64 << 10, 15 * time.Second
	// idleClient is how long a client may keep a connection without a request.
	idleClient = 75 * time.Second
	// bodyTimeout is how long a client may send nothing of a body, in HTTP/1.
	bodyTimeout = 60 * time.Second
	// maxConnections per listener, and maxStreams of requests on each of them.
	maxConnections, maxStreams = 10_000, 128
	// endGrace is for requests that are under way when the proxy ends.
	endGrace = 5 * time.Second
)

// Serve answers on two listeners, of which the second speaks TLS, until ctx ends and
// the requests that were under way then are answered, or have had their time. Either
// listener may be nil. It closes them.
func (p *Proxy) Serve(ctx context.Context, plain, secure net.Listener) error {
	defer p.sender.CloseIdle()
	g, ctx := errgroup.WithContext(ctx)
	if secure != nil {
		if a, ok := secure.Addr().(*net.TCPAddr); ok {
			p.secure.Store(int32(a.Port))
		}
		server := p.server()
		server.TLSConfig = p.tls()
		run(ctx, g, server, func() error { return server.ServeTLS(netutil.LimitListener(secure, maxConnections), "", "") })
	}
	if plain != nil {
		server := p.server()
		run(ctx, g, server, func() error { return server.Serve(netutil.LimitListener(plain, maxConnections)) })
	}
	return g.Wait()
}

func (p *Proxy) server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: p, Protocols: protocols, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleClient,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, SendPingTimeout: idleClient, PingTimeout: headerTimeout, WriteByteTimeout: bodyTimeout,
		},
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
}

// run serves until ctx ends, and then for what is under way.
func run(ctx context.Context, g *errgroup.Group, server *http.Server, serve func() error) {
	g.Go(func() error {
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // it says no more than the deadline did
		}
		return nil
	})
}

// tls presents certificates by the name that a client asks for.
func (p *Proxy) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name, _ := hostOf(hello.ServerName)
			if c := p.table.Load().certificate(name); c != nil {
				return c, nil
			}
			return nil, errors.New("there is no certificate for the name")
		},
	}
}

// patient is a body whose sender may not fall silent for longer than bodyTimeout.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *patient) Read(into []byte) (int, error) {
	// A connection without deadlines is one of a test.
	_ = b.control.SetReadDeadline(time.Now().Add(bodyTimeout))
	n, err := b.ReadCloser.Read(into)
	if err != nil {
		// What the server reads from now on is the next request.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
