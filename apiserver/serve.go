package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// maxStreams is how many requests one client connection may have under way.
const maxStreams = 100

// Serve answers requests from l until ctx ends. Then it stops accepting, ends
// watches, and waits for requests under way, up to Config.DrainTimeout. It
// returns nil after such an end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 32 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    1 << 20,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: 256 << 10, MaxReceiveBufferPerConnection: 100 * 256 << 10},
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// Requests are not cut off by the end of ctx, but drained.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	if s.config.TLS != nil {
		c := s.config.TLS.Clone()
		if c.MinVersion == 0 {
			c.MinVersion = tls.VersionTLS12
		}
		if c.ClientAuth == tls.NoClientCert {
			c.ClientAuth = tls.RequestClientCert
		}
		c.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, c)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(l) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	s.Drain()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	if err := srv.Shutdown(wait); err != nil {
		s.log.Warn("requests did not end in time and are cut off", "err", err)
		_ = srv.Close() // nothing is left to be said to anybody
	}
	if err := <-stopped; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain makes readyz fail and ends watches, while requests are still answered.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.endWatch()
}
