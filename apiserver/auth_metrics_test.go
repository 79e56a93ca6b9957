package apiserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/auth"
)

// who knows the user that a header names.
type who struct{}

func (who) Authenticate(r *http.Request) (*auth.User, error) {
	switch name := r.Header.Get("Who"); name {
	case "":
		return nil, nil
	case "bad":
		return nil, errors.New("bad")
	default:
		return &auth.User{Name: name}, nil
	}
}

// How requests were let in, and what was decided on them, is counted by result.
func TestMetricsOfAuth(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Authenticator = who{}
		c.Authorizer = auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
			switch {
			case a.User.Name == "denied":
				return auth.Deny, "", nil
			case a.User.Name == "unclear":
				return auth.NoOpinion, "", errors.New("unclear")
			case a.User.Name == "nobody":
				return auth.NoOpinion, "", nil
			}
			return auth.Allow, "", nil
		})
	}))
	for name, code := range map[string]int{"": 401, "bad": 401, "denied": 403, "unclear": 500, "nobody": 403, "someone": 200} {
		r := httptest.NewRequest(http.MethodGet, "/version", nil)
		r.Header.Set("Who", name)
		w := httptest.NewRecorder()
		env.Handler.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%q: %d %s", name, w.Code, w.Body)
		}
	}
	want(t, env, call{method: "GET", path: "/metrics"}, 200,
		`authentication_attempts{result="failure"} 1`, `authentication_attempts{result="error"} 1`, `authentication_attempts{result="success"} 4`,
		`authentication_duration_seconds_count{result="success"} 4`,
		`authorization_attempts_total{result="denied"} 1`, `authorization_attempts_total{result="error"} 1`, `authorization_attempts_total{result="no-opinion"} 1`,
		`authorization_duration_seconds_count{result="allowed"}`)
}
