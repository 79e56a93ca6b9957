package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/request"
	"proa/apiserver/respond"
	"proa/apiserver/rest"
)

// handler answers a request, or returns an error that has not been written.
type handler func(w http.ResponseWriter, r *http.Request, c *request.Call) error

// Handler is the whole chain as an http.Handler.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.ServeHTTP) }

// ServeHTTP takes a request through the chain.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		growStack()
	}
	now := s.config.Now()
	rec := &recorder{ResponseWriter: w}
	c := &request.Call{Now: metav1.NewTime(now), UserAgent: r.UserAgent(), AuditID: auditID(r)}
	h := w.Header()
	h.Set("Audit-Id", c.AuditID)
	h.Set("Cache-Control", "no-cache, private")
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			c.Audit.Complete(http.StatusInternalServerError, true)
		} else {
			c.Audit.Complete(rec.code, false)
		}
		if p != nil {
			s.recovered(rec, r, p)
		}
		s.metrics.Done(&c.Info, s.served(&c.Info), c.Query.Get("dryRun") != "", rec.code, rec.bytes, s.config.Now().Sub(now))
	}()
	info, err := request.Parse(r.Method, r.URL.Path, r.URL.RawQuery)
	c.Info = info
	if err == nil {
		err = s.serve(rec, r, c)
	} else {
		err = apierrors.NewBadRequest(err.Error())
	}
	if err != nil {
		s.fail(rec, r, c, err)
	}
}

// served reports whether there is what a request names. What a client made up
// is not counted by its name: there may be any number of such names, in any
// bytes, and each would be kept for ever.
func (s *Server) served(i *request.Info) bool {
	if !i.IsResource {
		return false
	}
	m, ok := s.config.Table.View().Resource(i.GroupVersionResource())
	return ok && (i.Subresource == "" || m.Definition.HasSubresource(i.Subresource))
}

// recovered answers a request whose handler has panicked.
func (s *Server) recovered(w *recorder, r *http.Request, p any) {
	if p == http.ErrAbortHandler {
		panic(p) // the server's own way to cut a connection
	}
	s.log.Error("a request handler has panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	if w.code != 0 {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	http.Error(w, "This request caused apiserver to panic. Look in the logs for details.", http.StatusInternalServerError)
}

// fail writes an error.
func (s *Server) fail(w *recorder, r *http.Request, c *request.Call, err error) {
	if w.code != 0 {
		// Something has been sent, and cannot be taken back.
		s.log.Warn("a response could not be completed", "path", r.URL.Path, "err", err)
		return
	}
	switch err {
	case rest.ErrMethod:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusMethodNotAllowed)
		fmt.Fprint(w, err.Error())
		return
	case rest.ErrPath:
		http.NotFound(w, r)
		return
	}
	if r.Context().Err() == context.Canceled && !apierrors.IsTimeout(err) {
		// The client has gone (or, over HTTP/1.1, a body has come too slowly:
		// that one still listens). What it gets does not matter, what is counted
		// does: it is not the server's failure.
		w.WriteHeader(499)
		return
	}
	if c != nil {
		rest.Warnings(w, c.Warnings())
	}
	status := respond.StatusOf(err)
	if status.Code >= 500 && status.Reason != metav1.StatusReasonTimeout {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "code", status.Code, "err", err)
	}
	if c != nil {
		c.Audit.Failed(&status)
	}
	respond.Status(w, r, &status)
}

// auditID names the request in logs: as the client did, or anew.
func auditID(r *http.Request) string {
	if id := r.Header.Get("Audit-ID"); id != "" && len(id) <= 64 {
		return id
	}
	return uuid.NewString()
}

// deadline bounds requests that are not long-running.
func (s *Server) deadline(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if c.LongRunning() {
			defer s.metrics.LongRunning(&c.Info, s.served(&c.Info))()
			return next(w, r, c)
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.config.Timeout)
		defer cancel()
		if r.Body != nil && r.Body != http.NoBody {
			// Reading does not look at contexts: a client that sends a body
			// byte by byte would hold a goroutine and a place for ever.
			end, _ := ctx.Deadline()
			_ = http.NewResponseController(w).SetReadDeadline(end) // calls of this process have none
		}
		return next(w, r.WithContext(ctx), c)
	}
}
