package apiserver

import (
	"net/http"

	"proa/apiserver/request"
)

// Annotations of the audit log by which it says who was allowed, and why.
const (
	decision = "authorization.k8s.io/decision"
	because  = "authorization.k8s.io/reason"
)

// audit begins to log the request; ServeHTTP ends it.
func (s *Server) audit(next handler) handler {
	if s.config.Audit == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		s.beginAudit(w, r, c)
		return next(w, r, c)
	}
}

// beginAudit begins to log the request, by a user that may not be known.
func (s *Server) beginAudit(w http.ResponseWriter, r *http.Request, c *request.Call) {
	if s.config.Audit == nil {
		return
	}
	a := attributes(r, c)
	// What was asked, and not what takes the same right.
	a.Verb = c.Verb
	c.Audit = s.config.Audit.Begin(r, c.AuditID, c.Now.Time, &a)
	if rec, ok := w.(*recorder); ok && c.Audit != nil && c.LongRunning() {
		rec.began = c.Audit.Started
	}
}
