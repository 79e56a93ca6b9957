package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHandler(t *testing.T) {
	t.Parallel()
	ending := false
	h := newHandler("pod-1", "7", func() bool { return ending }, t.Logf)
	for _, tt := range []struct {
		method, path string
		ending       bool
		code         int
		body         string
	}{
		{"GET", "/", false, 200, "Hello from pod-1\npath: /\nversion: 7\n"},
		{"GET", "/a%20b?q=1", false, 200, "Hello from pod-1\npath: /a%20b\nversion: 7\n"},
		{"GET", "/healthz", false, 200, "ok\n"},
		{"GET", "/healthz", true, 503, "ending\n"},
		{"GET", "/", true, 200, "Hello from pod-1\npath: /\nversion: 7\n"},
		{"POST", "/", false, http.StatusMethodNotAllowed, "Method Not Allowed\n"},
	} {
		ending = tt.ending
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.code || w.Body.String() != tt.body {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, w.Code, w.Body, tt.code, tt.body)
		}
	}
}
