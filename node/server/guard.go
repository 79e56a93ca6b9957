package server

import (
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// guard lets authenticated and authorized requests through.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, ok, err := s.cfg.Authenticate.AuthenticateRequest(r)
		if err != nil || !ok {
			if err != nil {
				s.cfg.Log.Debug("refused credentials", "path", r.URL.Path, "err", err)
			}
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		// Credentials are for this door only.
		r.Header.Del("Authorization")
		subs := subresources(r.URL.Path)
		verb := verbOf(r)
		name := res.User.GetName()
		var failure error
		for _, sub := range subs {
			decision, _, err := s.cfg.Authorize.Authorize(r.Context(), authorizer.AttributesRecord{
				User: res.User, Verb: verb, ResourceRequest: true, APIVersion: "v1", Resource: "nodes", Subresource: sub, Name: s.cfg.NodeName, Path: r.URL.Path,
			})
			if decision == authorizer.DecisionAllow {
				next.ServeHTTP(w, r)
				return
			}
			if err != nil {
				failure = err
			}
		}
		if failure != nil {
			s.cfg.Log.Warn("authorize a request", "user", name, "path", r.URL.Path, "err", failure)
			http.Error(w, fmt.Sprintf("Authorization error (user=%s, verb=%s, resource=nodes, subresource(s)=%v)", name, verb, subs), http.StatusInternalServerError)
			return
		}
		http.Error(w, fmt.Sprintf("Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=%v)", name, verb, subs), http.StatusForbidden)
	})
}

// subresources of nodes that open a path, the narrowest first; any of them is
// enough.
func subresources(path string) []string {
	below := func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
	switch {
	case below("/stats"):
		return []string{"stats"}
	case below("/metrics"):
		return []string{"metrics"}
	case below("/logs"):
		return []string{"log"}
	case below("/healthz"):
		return []string{"healthz", "proxy"}
	case below("/configz"):
		return []string{"configz", "proxy"}
	case below("/pods"), below("/runningpods"):
		return []string{"pods", "proxy"}
	}
	return []string{"proxy"}
}

// verbOf is the API's verb for a request. Whatever starts something in a
// container is a create, also where a WebSocket client must say GET: whoever
// may only read must not execute.
func verbOf(r *http.Request) string {
	for _, p := range []string{"/exec/", "/attach/", "/portForward/", "/run/"} {
		if strings.HasPrefix(r.URL.Path, p) {
			return "create"
		}
	}
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return "get"
}
