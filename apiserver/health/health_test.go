package health

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHandler(t *testing.T) {
	t.Parallel()
	h := &Handler{Name: "readyz", Checks: []Check{Ping, {"etcd", func(*http.Request) error { return errors.New("secret reason") }}}}
	for _, c := range []struct {
		url  string
		code int
		body string
	}{
		{"/readyz", 500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"},
		{"/readyz?exclude=etcd", 200, "ok"},
		{"/readyz?exclude=etcd&verbose", 200, "[+]ping ok\n[+]etcd excluded: ok\nreadyz check passed\n"},
		{"/readyz?exclude=etcd&exclude=x&verbose", 200, "[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nreadyz check passed\n"},
		{"/readyz/ping", 200, "ok"},
		{"/readyz/etcd", 500, "internal server error: secret reason\n"},
		{"/readyz/none", 404, "404 page not found\n"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", c.url, nil))
		if w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%s: %d %q", c.url, w.Code, w.Body)
		}
	}
}

func TestHook(t *testing.T) {
	t.Parallel()
	h := &Hook{Name: "poststarthook/made"}
	check := h.Check()
	if err := check.Check(nil); check.Name != h.Name || err == nil {
		t.Errorf("%q is ready before it is done", check.Name)
	}
	h.Done()
	if err := check.Check(nil); err != nil {
		t.Errorf("done, and not ready: %v", err)
	}
}
