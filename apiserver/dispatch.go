package apiserver

import (
	"net/http"
	"strings"

	"proa/apiserver/codec"
	"proa/apiserver/request"
	"proa/apiserver/respond"
	"proa/apiserver/rest"
	"proa/auth"
	"proa/resource"
	"proa/version"
)

// dispatch sends a request to what answers it.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	if s.config.Aggregator != nil {
		if h := s.config.Aggregator.Handler(c.Path); h != nil {
			if c.Begun != nil {
				c.Begun() // how a watch goes on there is not known here
			}
			h.ServeHTTP(w, r.WithContext(auth.WithUser(r.Context(), c.User)))
			return nil
		}
	}
	if c.IsResource {
		m, ok := s.match(r, c)
		if !ok {
			return s.other(w, r)
		}
		c.Match = m
		return s.api.Serve(w, r.WithContext(request.With(r.Context(), c)), c)
	}
	if strings.HasPrefix(c.Path, "/api") && (under(c.Path, "/api") || under(c.Path, "/apis")) {
		s.sync(r)
		if r.Method == http.MethodGet && s.discovery.Serve(w, r) {
			return nil
		}
		return s.other(w, r)
	}
	for _, h := range s.health {
		if under(c.Path, "/"+h.Name) {
			h.ServeHTTP(w, r)
			return nil
		}
	}
	switch c.Path {
	case "/version", "/version/":
		return s.version(w, r)
	case "/metrics":
		s.promhttp.ServeHTTP(w, r)
		return nil
	case "/", "":
		return s.root(w, r)
	}
	if s.profiles(w, r) {
		return nil
	}
	return s.other(w, r)
}

// match finds what a request is for, as it is defined at this moment.
func (s *Server) match(r *http.Request, c *request.Call) (resource.Match, bool) {
	m, ok := s.config.Table.View().Resource(c.GroupVersionResource())
	if !ok || m.Dynamic != nil {
		s.sync(r)
		m, ok = s.config.Table.View().Resource(c.GroupVersionResource())
	}
	return m, ok
}

func (s *Server) sync(r *http.Request) {
	if s.config.Sync != nil {
		s.config.Sync(r.Context())
	}
}

// other answers what is mounted, or that there is nothing.
func (s *Server) other(w http.ResponseWriter, r *http.Request) error {
	for _, m := range s.config.Mounts {
		if under(r.URL.Path, m.Prefix) {
			m.Handler.ServeHTTP(w, r)
			return nil
		}
	}
	return rest.ErrPath
}

func (s *Server) version(w http.ResponseWriter, r *http.Request) error {
	b, err := codec.AppendJSON(nil, version.Info(), true)
	if err != nil {
		return err
	}
	respond.Bytes(w, r, http.StatusOK, "application/json", b)
	return nil
}

func (s *Server) root(w http.ResponseWriter, r *http.Request) error {
	b, err := codec.AppendJSON(nil, s.paths(), true)
	if err != nil {
		return err
	}
	respond.Bytes(w, r, http.StatusOK, "application/json", b)
	return nil
}
