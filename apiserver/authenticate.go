package apiserver

import (
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/apiserver/request"
	"proa/auth"
)

// anonymous is who a request without credentials comes from, where no
// authenticator says otherwise.
var anonymous = &auth.User{Name: auth.Anonymous, Groups: []string{auth.GroupUnauthenticated}}

// authenticate finds out who sends the request. A request of this process
// brings its user in the context.
func (s *Server) authenticate(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if u := auth.UserFrom(r.Context()); u != nil {
			c.User, c.Local = u, true
			return next(w, r, c)
		}
		began := time.Now()
		user, err := anonymous, error(nil)
		if s.config.Authenticator != nil {
			user, err = s.config.Authenticator.Authenticate(r)
		}
		if err != nil || user == nil {
			result := "failure"
			if err != nil {
				result = "error"
				s.log.Info("a request was not authenticated", "path", r.URL.Path, "remote", r.RemoteAddr, "err", err)
			}
			s.metrics.Authenticated(result, time.Since(began))
			cut(w, r)
			s.beginAudit(w, r, c)
			return apierrors.NewUnauthorized("Unauthorized")
		}
		s.metrics.Authenticated("success", time.Since(began))
		if user.Name == auth.Anonymous || slices.Contains(user.Groups, auth.GroupUnauthenticated) {
			cut(w, r)
		}
		r.Header.Del("Authorization")
		c.User = user
		return next(w, r.WithContext(auth.WithUser(r.Context(), user)), c)
	}
}

// cut ends the HTTP/2 connection of somebody unknown after the response, so
// that nobody holds streams without credentials (CVE-2023-44487).
func cut(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 {
		w.Header().Set("Connection", "close")
	}
}
