package respond

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// gzipFrom is the size in bytes from which a body is compressed.
const gzipFrom = 128 << 10

// Bytes writes a complete body.
func Bytes(w http.ResponseWriter, r *http.Request, code int, contentType string, body []byte) {
	b := Begin(w, r, code, contentType, len(body))
	_, _ = b.Write(body) // the client is gone; there is nobody to tell
	_ = b.Close()
}

// Begin writes the header of a body of size bytes, and returns where to write
// it. Large bodies are compressed for clients that accept that, unless they
// are on this machine, where compressing costs more than it saves. Close must
// be called.
func Begin(w http.ResponseWriter, r *http.Request, code int, contentType string, size int) io.WriteCloser {
	h := w.Header()
	h.Set("Content-Type", contentType)
	out := bound(w, r, size)
	if size >= gzipFrom && acceptsGzip(r) && !local(r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		w.WriteHeader(code)
		z := gzips.Get().(*gzip.Writer)
		z.Reset(out)
		return &compressed{z, out}
	}
	h.Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(code)
	return out
}

// buffered is how many bytes of a response the HTTP server takes without
// waiting for the client.
const buffered = 4 << 10

// bound gives a body that the client must take part in the deadline of its
// request: one that reads nothing would keep the body in memory for ever.
func bound(w http.ResponseWriter, r *http.Request, size int) io.WriteCloser {
	end, ok := r.Context().Deadline()
	if !ok || size < buffered {
		return plain{w}
	}
	ctl := http.NewResponseController(w)
	if ctl.SetWriteDeadline(end) != nil {
		return plain{w} // a call of this process
	}
	return timed{w, ctl}
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// timed is a body with a deadline, which the connection's next response does
// not inherit.
type timed struct {
	io.Writer
	ctl *http.ResponseController
}

func (t timed) Close() error {
	if f, ok := t.Writer.(http.Flusher); ok {
		f.Flush()
	}
	return t.ctl.SetWriteDeadline(time.Time{})
}

type compressed struct {
	*gzip.Writer
	to io.Closer
}

func (c *compressed) Close() error {
	err := c.Writer.Close()
	gzips.Put(c.Writer)
	c.Writer = nil
	return errors.Join(err, c.to.Close())
}

// gzips are reused: each holds a quarter of a megabyte of tables.
var gzips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			return true
		}
	}
	return false
}

// local reports whether the client runs on this machine.
func local(r *http.Request) bool {
	if r.RemoteAddr == "" {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
