package token

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
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

// slow answers when it is told to, and counts.
type slow struct {
	asked atomic.Int64
	go_   chan struct{}
	user  *auth.User
}

func (s *slow) AuthenticateToken(ctx context.Context, _ string, _ []string) (*auth.User, []string, error) {
	s.asked.Add(1)
	<-s.go_
	return s.user, nil, ctx.Err()
}

// Many who come with one token are one question, and who asked first may go away.
func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{go_: make(chan struct{}), user: &auth.User{Name: "joe"}}
		c := NewCache(s, 2, time.Minute, clock.RealClock{})
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, _, err := c.AuthenticateToken(ctx, "t", nil)
			gone <- err
		}()
		synctest.Wait()
		answers := make(chan *auth.User)
		for range 10 {
			go func() {
				u, _, _ := c.AuthenticateToken(t.Context(), "t", nil)
				answers <- u
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(s.go_)
		for range 10 {
			if u := <-answers; u != s.user {
				t.Error(u)
			}
		}
		if n := s.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestCacheRemembersRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options []Option
		want    int64
	}{{nil, 3}, {[]Option{Refusals}, 1}} {
		s := &slow{go_: make(chan struct{})}
		close(s.go_)
		cache := NewCache(s, 2, time.Minute, clock.RealClock{}, c.options...)
		for range 3 {
			if u, _, err := cache.AuthenticateToken(t.Context(), "t", nil); u != nil || err != nil {
				t.Error(u, err)
			}
		}
		if n := s.asked.Load(); n != c.want {
			t.Errorf("asked %d times, not %d", n, c.want)
		}
	}
}
