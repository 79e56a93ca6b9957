package apiserver

import (
	"net/http"
	"net/http/pprof"

	"proa/apiserver/request"
)

// profiles answers /debug/pprof, by the paths that upstream has. What it shows
// of the process, and the CPU that it takes, are for those who may get that
// path: the whole chain has passed before (CVE-2019-11248 was the same without).
func (s *Server) profiles(w http.ResponseWriter, r *http.Request) bool {
	if !s.config.Profiling || !under(r.URL.Path, request.ProfilePath) {
		return false
	}
	switch r.URL.Path {
	case request.ProfilePath:
		http.Redirect(w, r, request.ProfilePath+"/", http.StatusFound)
	case request.ProfilePath + "/profile":
		pprof.Profile(w, r)
	case request.ProfilePath + "/symbol":
		pprof.Symbol(w, r)
	case request.ProfilePath + "/trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
	return true
}
