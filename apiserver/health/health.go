package health

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Check is one thing that must work. Check must be quick and safe for
// concurrent use.
type Check struct {
	Name  string
	Check func(r *http.Request) error
}

// Ping always works: it says that the server answers.
var Ping = Check{"ping", func(*http.Request) error { return nil }}

// Handler answers one of the endpoints ("livez", "readyz", "healthz") and the
// paths of its checks below it.
type Handler struct {
	Name   string
	Checks []Check
	Log    *slog.Logger
}

// Paths lists what the handler answers.
func (h *Handler) Paths() []string {
	out := []string{"/" + h.Name}
	for _, c := range h.Checks {
		out = append(out, "/"+h.Name+"/"+c.Name)
	}
	return out
}

// ServeHTTP runs the checks that the path asks for.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	rest := strings.Trim(strings.TrimPrefix(r.URL.Path, "/"+h.Name), "/")
	if rest != "" {
		h.one(w, r, rest)
		return
	}
	h.all(w, r)
}

func (h *Handler) one(w http.ResponseWriter, r *http.Request, name string) {
	i := slices.IndexFunc(h.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	if err := h.Checks[i].Check(r); err != nil {
		h.failed([]string{name + ": " + err.Error()})
		http.Error(w, fmt.Sprintf("internal server error: %v", err), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "ok")
}

func (h *Handler) all(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	excluded := map[string]bool{}
	for _, e := range query["exclude"] {
		for name := range strings.SplitSeq(e, ",") {
			if name != "" {
				excluded[name] = true
			}
		}
	}
	var out bytes.Buffer
	var failures []string
	for _, c := range h.Checks {
		if excluded[c.Name] {
			delete(excluded, c.Name)
			fmt.Fprintf(&out, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := c.Check(r); err != nil {
			// The caller may be anybody: the reason is for the log.
			failures = append(failures, c.Name+": "+err.Error())
			fmt.Fprintf(&out, "[-]%s failed: reason withheld\n", c.Name)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", c.Name)
	}
	if len(excluded) > 0 {
		names := make([]string, 0, len(excluded))
		for n := range excluded {
			names = append(names, fmt.Sprintf("%q", n))
		}
		slices.Sort(names)
		fmt.Fprintf(&out, "warn: some health checks cannot be excluded: no matches for %s\n", strings.Join(names, ","))
	}
	if len(failures) > 0 {
		h.failed(failures)
		http.Error(w, fmt.Sprintf("%s%s check failed", out.String(), h.Name), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !query.Has("verbose") {
		fmt.Fprint(w, "ok")
		return
	}
	fmt.Fprintf(w, "%s%s check passed\n", out.String(), h.Name)
}

func (h *Handler) failed(failures []string) {
	if h.Log != nil {
		h.Log.Info("health check failed", "endpoint", h.Name, "checks", strings.Join(failures, "; "))
	}
}
