// Command hello is the program of Proa's own example image. Without an argument it
// is a web server that answers every GET on port 8080 with the pod's name, the path
// asked for and its version, so that scaling, a rollout and an undo can be watched
// with nothing but curl.
//
// The environment is its whole configuration: PORT is where it listens (8080),
// HELLO_VERSION what it calls itself (set by the image). /healthz answers "ok",
// and 503 once the server has been told to end, so that a readiness probe sees
// it before the last request does.
//
// It is the two tiers of a small application as well:
//
//	hello guestbook   a page that visitors write on; STORE is its store (store:6379)
//	hello store       a key-value store that speaks the protocol of Redis on port 6379
//	                  and keeps every write in STORE_DIR (/data) before it answers
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
	"strings"
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
	switch what := strings.Join(os.Args[1:], " "); what {
	case "":
		version := envOr("HELLO_VERSION", "dev")
		var ending atomic.Bool
		return serveHTTP(ctx, fmt.Sprintf("hello version %s on %s", version, host),
			newHandler(host, version, ending.Load, log.Printf), func() { ending.Store(true) })
	case "guestbook":
		return runGuestbook(ctx, host)
	case "store":
		return runStore(ctx)
	default:
		return fmt.Errorf("hello %s: the one argument is guestbook, store, or none", what)
	}
}

// serveHTTP serves until ctx ends, and then for the requests that are open. ending is
// called in between.
func serveHTTP(ctx context.Context, what string, h http.Handler, ending func()) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", envOr("PORT", "8080")))
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	log.Printf("%s listens on %s", what, l.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("hello: %w", err)
	case <-ctx.Done():
	}
	ending()
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
