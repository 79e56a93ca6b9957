package apiserver

import (
	"context"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/apiserver/audit"
	"proa/apiserver/request"
	"proa/auth"
)

// authorize asks whether the caller may do what it asks for.
func (s *Server) authorize(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if s.config.Authorizer != nil {
			a := attributes(r, c)
			if err := s.allow(r.Context(), &a, c.Audit); err != nil {
				return err
			}
		}
		return next(w, r, c)
	}
}

// attributes puts a request as a question to the authorizer.
func attributes(r *http.Request, c *request.Call) auth.Attributes {
	a := auth.Attributes{User: c.User, Verb: c.Verb, Path: c.Path}
	if !c.IsResource {
		return a
	}
	a.IsResource = true
	a.Group, a.Version, a.Namespace, a.Resource = c.Group, c.Version, c.Namespace, c.Resource
	a.Subresource, a.Name, a.Fields, a.Labels = c.Subresource, c.Name, c.Fields, c.Labels
	// A WebSocket can only begin with GET; running commands and reaching into
	// pods by it needs the same permission as by POST (CVE-2025 and k/k
	// AuthorizePodWebsocketUpgradeCreatePermission).
	if c.Verb == "get" && c.Group == "" && c.Resource == "pods" {
		switch c.Subresource {
		case "exec", "attach", "portforward":
			a.Verb = "create"
		}
	}
	return a
}

// result of a question, as metrics have it.
func result(d auth.Decision, err error) string {
	switch {
	case d == auth.Allow:
		return "allowed"
	case err != nil:
		return "error"
	case d == auth.Deny:
		return "denied"
	}
	return "no-opinion"
}

// allow returns nil where the answer is yes.
func (s *Server) allow(ctx context.Context, a *auth.Attributes, log *audit.Record) error {
	if s.config.Authorizer == nil {
		return nil
	}
	began := time.Now()
	d, reason, err := s.config.Authorizer.Authorize(ctx, a)
	s.metrics.Authorized(result(d, err), time.Since(began))
	if d == auth.Allow {
		log.Annotate(decision, "allow", false)
		log.Annotate(because, reason, false)
		return nil
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Error("authorization failed", "err", err)
		return apierrors.NewInternalError(err)
	}
	log.Annotate(decision, "forbid", false)
	log.Annotate(because, reason, false)
	s.log.Debug("forbidden", "user", a.User.Name, "verb", a.Verb, "path", a.Path, "reason", reason)
	return forbidden(a, reason)
}
