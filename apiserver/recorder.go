package apiserver

import (
	"bufio"
	"net"
	"net/http"
)

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
	// began is told of the code when the response begins; may be nil.
	began func(code int)
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 && code >= 200 || code == http.StatusSwitchingProtocols {
		w.set(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

// set notes the code with which the response begins.
func (w *recorder) set(code int) {
	w.code = code
	if w.began != nil {
		w.began(code)
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.set(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for callers that look for the interface.
func (w *recorder) Flush() {
	if w.code == 0 {
		w.set(http.StatusOK)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // not all can
}

// Hijack is for callers that look for the interface.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.code == 0 {
		w.set(http.StatusSwitchingProtocols)
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
