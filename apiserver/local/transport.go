package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"proa/auth"
)

// Transport is an http.RoundTripper that answers by calling Handler as User.
// Safe for concurrent use.
type Transport struct {
	Handler http.Handler
	User    *auth.User
	// As may name another user for a request, by its context; nil is User. It
	// is for one client that speaks for many.
	As func(context.Context) *auth.User
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	user := t.User
	if t.As != nil {
		if u := t.As(r.Context()); u != nil {
			user = u
		}
	}
	ctx, cancel := context.WithCancel(auth.WithUser(r.Context(), user))
	in := r.Clone(ctx)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	// Nothing is gained by compressing within a process.
	in.Header.Del("Accept-Encoding")

	x := &exchange{header: http.Header{}, begun: make(chan struct{}), cancel: cancel}
	x.space.L, x.data.L = &x.mu, &x.mu
	go func() {
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				x.finish(errAborted)
				panic(p)
			}
			if p != nil {
				x.finish(errAborted)
				return
			}
			x.finish(io.EOF)
		}()
		t.Handler.ServeHTTP(x, in)
	}()
	select {
	case <-x.begun:
	case <-ctx.Done():
		// The handler sees the same context and ends by itself.
		x.Close()
		return nil, context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { x.abort(context.Cause(ctx)) })
	return &http.Response{
		Status: http.StatusText(x.code), StatusCode: x.code,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: x.sent,
		Body: &body{x, stop}, ContentLength: -1, Request: r,
	}, nil
}

var errAborted = errors.New("the request handler was aborted")

// maxBuffered is how many bytes a handler may be ahead of its reader.
const maxBuffered = 1 << 20

// exchange is one request under way: the handler's ResponseWriter on one side,
// the client's body on the other.
type exchange struct {
	header http.Header
	cancel context.CancelFunc
	begun  chan struct{} // closed when the response may be read

	mu    sync.Mutex
	data  sync.Cond // something to read, or the end
	space sync.Cond // room to write
	code  int
	sent  http.Header
	ready bool // begun is closed
	buf   bytes.Buffer
	err   error // why there is nothing more to read
	shut  bool  // the reader has gone
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(code)
}

func (x *exchange) writeHeader(code int) {
	if x.code == 0 && code >= 200 {
		x.code, x.sent = code, x.header.Clone()
	}
}

// Write implements http.ResponseWriter. What does not fit waits for the
// reader, who is told that there is something.
func (x *exchange) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(http.StatusOK)
	for x.buf.Len() > maxBuffered && !x.shut && x.err == nil {
		x.release()
		x.space.Wait()
	}
	if x.shut || x.err != nil {
		return 0, io.ErrClosedPipe
	}
	n, err := x.buf.Write(p)
	if x.ready {
		x.data.Signal()
	}
	return n, err
}

// FlushError is found by http.ResponseController.
func (x *exchange) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(http.StatusOK)
	x.release()
	x.data.Signal()
	if x.shut {
		return io.ErrClosedPipe
	}
	return nil
}

// Flush implements http.Flusher.
func (x *exchange) Flush() { _ = x.FlushError() }

// release lets the client have the response.
func (x *exchange) release() {
	if !x.ready {
		x.ready = true
		close(x.begun)
	}
}

// finish is called when the handler has returned.
func (x *exchange) finish(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(http.StatusOK)
	if x.err == nil {
		x.err = err
	}
	x.release()
	x.data.Broadcast()
}

// abort ends the exchange for both sides.
func (x *exchange) abort(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
		x.buf.Reset()
	}
	x.data.Broadcast()
	x.space.Broadcast()
}

// Close is the end of the client's interest.
func (x *exchange) Close() {
	x.mu.Lock()
	x.shut = true
	x.space.Broadcast()
	x.data.Broadcast()
	x.mu.Unlock()
	x.cancel()
}

// body is the client's side.
type body struct {
	x    *exchange
	stop func() bool
}

func (b *body) Read(p []byte) (int, error) {
	x := b.x
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.buf.Len() == 0 {
		if x.shut {
			return 0, http.ErrBodyReadAfterClose
		}
		if x.err != nil {
			return 0, x.err
		}
		x.data.Wait()
	}
	n, err := x.buf.Read(p)
	x.space.Signal()
	return n, err
}

func (b *body) Close() error {
	b.stop()
	b.x.Close()
	return nil
}
