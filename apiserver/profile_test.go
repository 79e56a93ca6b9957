package apiserver_test

import (
	"context"
	"testing"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/auth"
)

// TestProfiling: profiles are for those who are authorized for their path, and
// for nobody where they are turned off.
//
// CVE-2019-11248: the kubelet's health port showed profiles to everybody.
func TestProfiling(t *testing.T) {
	t.Parallel()
	on := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Profiling, c.Authorizer = true, onlyAdmin }))
	off := apitest.Start(t)
	anonymous := &auth.User{Name: auth.Anonymous, Groups: []string{auth.GroupUnauthenticated}}
	for _, path := range []string{
		"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=0.01",
	} {
		want(t, on, call{method: "GET", path: path}, 200)
		want(t, on, call{method: "GET", path: path, user: &auth.User{Name: "eve"}}, 403, `forbidden: User \"eve\" cannot get path`)
		want(t, on, call{method: "GET", path: path, user: anonymous}, 403)
		want(t, off, call{method: "GET", path: path}, 404)
	}
	if w := want(t, on, call{method: "GET", path: "/debug/pprof"}, 302); w.Header().Get("Location") != "/debug/pprof/" {
		t.Errorf("led to %q", w.Header().Get("Location"))
	}
	want(t, on, call{method: "GET", path: "/debug/pprof/none"}, 404)
	want(t, on, call{method: "GET", path: "/debug"}, 404)
	want(t, on, call{method: "GET", path: "/debug/vars"}, 404)
	want(t, on, call{method: "GET", path: "/"}, 200, `"/debug/pprof/profile"`)
	// A profile ends with its request.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := on.Admin.Discovery().RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", "600").DoRaw(ctx)
	if err == nil {
		t.Error("a profile for nobody")
	}
}
