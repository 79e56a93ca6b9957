package token

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"proa/auth"
)

type fake struct {
	users map[string]*auth.User
	err   error
	calls int
}

func (f *fake) AuthenticateToken(_ context.Context, token string, a []string) (*auth.User, []string, error) {
	f.calls++
	return f.users[token], a, f.err
}

func TestBearer(t *testing.T) {
	t.Parallel()
	b := Bearer{Union{&fake{err: errors.New("broken")}, &fake{users: map[string]*auth.User{"good": {Name: "u"}}}}}
	coded := protocolPrefix + base64.RawURLEncoding.EncodeToString([]byte("good"))
	ws := func(p string) http.Header {
		return http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, protocolHeader: {p}}
	}
	tests := map[string]struct {
		h         http.Header
		user, err bool
		protocol  string
	}{
		"none":            {h: http.Header{}},
		"basic":           {h: http.Header{"Authorization": {"Basic Z29vZA=="}}},
		"empty":           {h: http.Header{"Authorization": {"Bearer "}}},
		"good":            {h: http.Header{"Authorization": {"Bearer good"}}, user: true},
		"lower case":      {h: http.Header{"Authorization": {"bearer good"}}, user: true},
		"bad":             {h: http.Header{"Authorization": {"Bearer bad"}}, err: true},
		"websocket":       {h: ws(coded + ", v5.channel.k8s.io"), user: true, protocol: "v5.channel.k8s.io"},
		"websocket alone": {h: ws(coded), err: true},
		"twice":           {h: ws(coded + "," + coded + ",x"), err: true},
		"no token":        {h: ws("v5.channel.k8s.io")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := (&http.Request{Header: test.h}).WithContext(t.Context())
			u, err := b.Authenticate(r)
			if (u != nil) != test.user || (err != nil) != test.err {
				t.Fatalf("got %v, %v", u, err)
			}
			if test.user && r.Header.Get("Authorization") != "" {
				t.Error("the token is still in the request")
			}
			if test.protocol != "" && r.Header.Get(protocolHeader) != test.protocol {
				t.Errorf("protocol %q", r.Header.Get(protocolHeader))
			}
		})
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	clk := clocktesting.NewFakeClock(time.Unix(0, 0))
	f := &fake{users: map[string]*auth.User{"a": {}, "b": {}, "c": {}}}
	c := NewCache(f, 2, time.Minute, clk)
	ask := func(token string, want int, aud ...string) {
		t.Helper()
		_, _, err := c.AuthenticateToken(t.Context(), token, aud)
		if err != nil || f.calls != want {
			t.Errorf("%s: %d calls, want %d (%v)", token, f.calls, want, err)
		}
	}
	ask("a", 1)
	ask("a", 1)
	ask("a", 2, "x")
	ask("x", 3)
	ask("x", 4) // refusals are asked again
	ask("b", 5) // pushes out a without audience
	ask("a", 6, "x", "")
	clk.Step(2 * time.Minute)
	ask("b", 7)
	if n := len(c.known.byHash); n > 2 || n != c.known.order.Len() {
		t.Errorf("%d remembered", n)
	}
}
