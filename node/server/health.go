package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// routeHealth adds /healthz and its checks.
func (s *Server) routeHealth(mux *http.ServeMux) {
	checks := []struct {
		name string
		run  func() error
	}{
		{"ping", func() error { return nil }},
		{"log", func() error { return nil }},
		{"syncloop", s.cfg.Agent.Healthy},
	}
	for _, c := range checks {
		mux.HandleFunc("GET /healthz/"+c.name, func(w http.ResponseWriter, _ *http.Request) {
			if err := c.run(); err != nil {
				http.Error(w, fmt.Sprintf("internal server error: %v", err), http.StatusInternalServerError)
				return
			}
			fmt.Fprint(w, "ok")
		})
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		failed := false
		skip := map[string]bool{}
		for _, n := range r.URL.Query()["exclude"] {
			skip[n] = true
		}
		for _, c := range checks {
			if skip[c.name] {
				fmt.Fprintf(&b, "[+]%s excluded: ok\n", c.name)
				continue
			}
			// The reason is for those who may read the log.
			if err := c.run(); err != nil {
				failed = true
				fmt.Fprintf(&b, "[-]%s failed: reason withheld\n", c.name)
				s.cfg.Log.Warn("unhealthy", "check", c.name, "err", err)
				continue
			}
			fmt.Fprintf(&b, "[+]%s ok\n", c.name)
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if failed {
			http.Error(w, b.String()+"healthz check failed", http.StatusInternalServerError)
			return
		}
		if _, verbose := r.URL.Query()["verbose"]; verbose {
			fmt.Fprint(w, b.String()+"healthz check passed\n")
			return
		}
		fmt.Fprint(w, "ok")
	})
}

func (s *Server) configz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"kubeletconfig": s.cfg.Agent.Configz()})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}
