package edge

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/": "/", "/a/b": "/a/b", "/a//b": "/a//b", "/a%2Fb": "/a%2Fb", "/a%2fb/%63": "/a%2Fb/c", "/caf%C3%A9": "/café",
		"/a.b/.c/..d": "/a.b/.c/..d", "/a;v=1": "/a;v=1",
		"": "", "*": "", "a": "", "/..": "", "/a/./b": "", "/a/%2e%2E/b": "", "/a/..%2fb": "", "/a/..;x=1/b": "", `/a/..\b`: "",
		"/a%5c..%5cb": "", "/a%00": "", "/a%0d%0ab": "", "/%zz": "",
	} {
		got, ok := canonical(in)
		if got != want || ok != (want != "") {
			t.Errorf("canonical(%q) = %q, %t; want %q", in, got, ok, want)
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a.example": "a.example", "A.Example.": "a.example", "a.example:80": "a.example", "[::1]:80": "::1", "[::1]": "::1", "127.0.0.1:8080": "127.0.0.1",
		"": "", ":80": "", "a b": "", "a/b": "", "a@b": "", "a:b:c": "", strings.Repeat("a", 254): "",
	} {
		got, ok := hostOf(in)
		if got != want || ok != (want != "") {
			t.Errorf("hostOf(%q) = %q, %t; want %q", in, got, ok, want)
		}
	}
}

// route is short for a route to a backend that is called after it.
func route(host string, kind Kind, path string) Route {
	return Route{Host: host, Kind: kind, Path: path, Action: Action{Backend: NewBackend(fmt.Sprint(host, kind, path))}}
}

// TestFind is the table of the API's documentation, and what else users rely on.
func TestFind(t *testing.T) {
	t.Parallel()
	const p, e = Prefix, Exact
	for _, c := range []struct {
		routes []Route
		want   map[string]string // host and path → which route, by host, kind and path
	}{
		{[]Route{route("", p, "/")}, map[string]string{"x/": "1/", "x/a/b": "1/", "y/": "1/"}},
		{[]Route{route("", e, "/foo")}, map[string]string{"x/foo": "0/foo", "x/bar": "", "x/foo/": "", "x/": ""}},
		{[]Route{route("", e, "/foo/")}, map[string]string{"x/foo": "", "x/foo/": "0/foo/"}},
		{[]Route{route("", p, "/foo")}, map[string]string{"x/foo": "1/foo", "x/foo/": "1/foo", "x/foo/b": "1/foo", "x/foobar": ""}},
		{[]Route{route("", p, "/foo/")}, map[string]string{"x/foo": "1/foo/", "x/foo/": "1/foo/", "x/foo/b": "1/foo/"}},
		{[]Route{route("", p, "/aaa/bb")}, map[string]string{"x/aaa/bbb": ""}},
		{[]Route{route("", p, "/aaa/bbb")}, map[string]string{"x/aaa/bbb/": "1/aaa/bbb", "x/aaa/bbb/ccc": "1/aaa/bbb", "x/aaa/bbbxyz": ""}},
		{[]Route{route("", p, "/"), route("", p, "/aaa"), route("", p, "/aaa/bbb")},
			map[string]string{"x/aaa/bbb/c": "1/aaa/bbb", "x/aaa/ccc": "1/aaa", "x/ccc": "1/"}},
		{[]Route{route("", p, "/foo"), route("", e, "/foo")}, map[string]string{"x/foo": "0/foo", "x/foo/": "1/foo"}},
		{[]Route{route("a.x", p, "/"), route("*.x", p, "/w"), route("", p, "/any")}, map[string]string{
			"a.x/w": "a.x1/", "b.x/w": "*.x1/w", "b.x/any": "", "b.a.x/w": "", "x/any": "1/any", "b.a.x/any": "1/any"}},
		{[]Route{route("a.x", p, "/p"), route("a.x", Fallback, ""), route("", Fallback, "")}, map[string]string{
			"a.x/p": "a.x1/p", "a.x/q": "a.x2", "b.x/p": "2"}},
		{[]Route{route("", p, "/a%2Fb")}, map[string]string{"x/a/b": "", "x/a%2Fb/c": "1/a%2Fb"}},
	} {
		table := NewTable(c.routes, nil, nil)
		for asked, want := range c.want {
			host, path, _ := strings.Cut(asked, "/")
			got := ""
			if a := table.Find(host, "/"+path); a != nil {
				got = a.Backend.name
			}
			if got != want {
				t.Errorf("%v: %s finds %q, want %q", c.routes, asked, got, want)
			}
		}
	}
	// Of two that take the same the first holds.
	first, second := route("a", p, "/x/"), route("a", p, "/x")
	if a := NewTable([]Route{first, second}, nil, nil).Find("a", "/x"); a.Backend != first.Action.Backend {
		t.Errorf("the second of two routes holds")
	}
}

// TestFindAgainstTwin compares the table with one that looks at every route.
func TestFindAgainstTwin(t *testing.T) {
	t.Parallel()
	host := rapid.SampledFrom([]string{"", "a.x", "b.x", "*.x", "*.a.x"})
	path := rapid.Custom(func(t *rapid.T) string {
		return "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), 0, 4).Draw(t, "elements"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		var routes []Route
		for range rapid.IntRange(0, 8).Draw(t, "routes") {
			r := route(host.Draw(t, "host"), Kind(rapid.IntRange(0, 2).Draw(t, "kind")), path.Draw(t, "path"))
			routes = append(routes, r)
		}
		table := NewTable(routes, nil, nil)
		for range 10 {
			h, p := rapid.SampledFrom([]string{"a.x", "b.x", "c.x", "q.a.x", "x"}).Draw(t, "asked host"), path.Draw(t, "asked path")
			got, want := table.Find(h, p), slow(routes, h, p)
			if (got == nil) != (want == nil) || got != nil && got.Backend != want.Backend {
				t.Fatalf("%s%s: %v, want %v", h, p, got, want)
			}
		}
	})
}

// slow looks at every route.
func slow(routes []Route, host, path string) *Action {
	level := func(r Route) int { // how well the host fits
		suffix, wild := strings.CutPrefix(r.Host, "*")
		switch {
		case r.Host == host:
			return 3
		case wild && strings.HasSuffix(host, suffix) && !strings.Contains(strings.TrimSuffix(host, suffix), "."):
			return 2
		case r.Host == "":
			return 1
		}
		return 0
	}
	best := 0
	for _, r := range routes {
		if r.Host != "" || r.Kind != Fallback {
			best = max(best, level(r))
		}
	}
	var found *Action
	score := 0
	for i, r := range routes {
		s := 0
		switch elements := strings.Split(strings.Trim(r.Path, "/"), "/"); {
		case r.Kind == Fallback && r.Host == "":
			s = 1
		case level(r) != best || best == 0:
			continue
		case r.Kind == Fallback:
			s = 2
		case r.Kind == Exact && r.Path == path:
			s = 100
		case r.Kind == Prefix && r.Path == "/":
			s = 3
		case r.Kind == Prefix && strings.HasPrefix(path+"/", r.Path+"/"):
			s = 3 + len(elements)
		}
		if s > score {
			score, found = s, &routes[i].Action
		}
	}
	return found
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	a, wild, standard := &tls.Certificate{}, &tls.Certificate{}, &tls.Certificate{}
	table := NewTable(nil, map[string]*tls.Certificate{"a.x": a, "*.x": wild}, standard)
	for host, want := range map[string]*tls.Certificate{"a.x": a, "b.x": wild, "c.b.x": standard, "x": standard, "": standard} {
		if table.certificate(host) != want {
			t.Errorf("%q has the wrong certificate", host)
		}
	}
}
