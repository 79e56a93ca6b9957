package apiserver_test

import (
	"fmt"
	"strings"
	"testing"

	"proa/apiserver/apitest"
)

// Unknown fields are refused, warned of or passed over, as the client asks.
func TestFieldValidation(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	for i, c := range []struct {
		mode     string
		code     int
		warnings int
	}{{"Strict", 400, 0}, {"Warn", 201, 2}, {"", 201, 2}, {"Ignore", 201, 0}} {
		for j, contentType := range []string{"application/json", "application/yaml"} {
			w := call{
				method: "POST", path: cms + "?fieldValidation=" + c.mode, contentType: contentType,
				body: cm(fmt.Sprint("x", i, "-", j), `,"foo":1,"bar":{}`),
			}.do(t, env)
			if w.Code != c.code || len(w.Header().Values("Warning")) != c.warnings {
				t.Errorf("%q in %s: %d with warnings %q", c.mode, contentType, w.Code, w.Header().Values("Warning"))
			}
		}
	}
}

// Names that a client makes up, in whatever bytes, leave nothing in the metrics:
// a series for each would fill the memory, and one that is no text once ended
// the connection with a panic.
func TestMadeUpNamesAreNotCounted(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	for _, path := range []string{
		podsPath + "/a/madeup", podsPath + "/a/%F3", "/api/v1/madeups", "/apis/madeup/v1/pods/a/log", "/apis/x/%F3/y/a/exec",
		"/api/v1/watch/pods/a/madeup", "/api/v1/watch/madeups", podsPath + "//%F3",
	} {
		if w := (call{method: "GET", path: path}).do(t, env); w.Code != 404 && w.Code != 405 && w.Code != 400 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := want(t, env, call{method: "GET", path: "/metrics"}, 200); strings.Contains(w.Body.String(), "madeup") {
		t.Error("a name that was made up is kept")
	}
}
