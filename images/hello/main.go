// Command hello is the web server of Proa's own example image. It answers every
// GET on port 8080 with the pod's name, the path asked for and its version, so
// that scaling, a rollout and an undo can be watched with nothing but curl.
//
// The environment is its whole configuration: PORT is where it listens (8080),
// HELLO_VERSION what it calls itself (set by the image). /healthz answers "ok",
// and 503 once the server has been told to end, so that a readiness probe sees
// it before the last request does.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	version := envOr("HELLO_VERSION", "dev")
	l, err := net.Listen("tcp", net.JoinHostPort("", envOr("PORT", "8080")))
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}

	var ending atomic.Bool
	srv := &http.Server{
		Handler:           newHandler(host, version, ending.Load, log.Printf),
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	log.Printf("hello version %s on %s listens on %s", version, host, l.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("hello: %w", err)
	case <-ctx.Done():
	}
	ending.Store(true)
	log.Print("told to end: finishing open requests")
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("hello: %w", err)
	}
	return nil
}

// newHandler returns the server's routes. ending is asked at each health check.
func newHandler(host, version string, ending func() bool, logf func(string, ...any)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if ending() {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		logf("%s %s from %s", r.Method, r.URL.EscapedPath(), r.RemoteAddr)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "Hello from %s\npath: %s\nversion: %s\n", host, r.URL.EscapedPath(), version)
	})
	return mux
}

func envOr(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}
