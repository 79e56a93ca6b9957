package stream

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"proa/apiserver/connect"
	"proa/apiserver/request"
)

// What a workload says of its own place leads through the proxy; the rest of its
// words are its own.
func TestRewrite(t *testing.T) {
	t.Parallel()
	const prefix = "/api/v1/namespaces/ns/services/s/proxy"
	p := &place{backend: "10.42.0.5:80", server: "proa:6443", prefix: prefix}
	page := func(body string) *http.Response {
		return &http.Response{
			Header:  http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Content-Length": {"5"}},
			Request: &http.Request{Method: "GET"}, Body: io.NopCloser(iotest.OneByteReader(strings.NewReader(body))),
		}
	}
	for in, want := range map[string]string{
		`<a href="/x">t</a>`:                        `<a href="` + prefix + `/x">t</a>`,
		`<a href="/x/?a=b&amp;c#d">`:                `<a href="` + prefix + `/x/?a=b&amp;c#d">`,
		`<img src='http://10.42.0.5:80/i'/>`:        `<img src="` + prefix + `/i"/>`,
		`<img src="https://proa:6443/i">`:           `<img src="` + prefix + `/i">`,
		`<a href="` + prefix + `/x">`:               `<a href="` + prefix + `/x">`,
		`<a href="http://elsewhere/x">`:             `<a href="http://elsewhere/x">`,
		`<a href="x">` + "\n<b  class=x>&lt;":       `<a href="x">` + "\n<b  class=x>&lt;",
		`<script>"<a href='/x'>"</script>`:          `<script>"<a href='/x'>"</script>`,
		`<a title="/x" href=":/bad">no end <a href`: `<a title="/x" href=":/bad">no end <a href`,
	} {
		resp := page(in)
		if err := p.rewrite(resp); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != want || resp.Header.Get("Content-Length") != "" {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	plain := page(`<a href="/x">`)
	plain.Header.Set("Content-Type", "text/plain")
	if err := p.rewrite(plain); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(plain.Body); string(got) != `<a href="/x">` {
		t.Errorf("what is no page was changed: %s", got)
	}
}

func TestRewriteCompressed(t *testing.T) {
	t.Parallel()
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if _, err := io.WriteString(z, `<a href="/x">`); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	resp := &http.Response{
		Header: http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"gzip"}}, Request: &http.Request{Method: "GET"}, Body: io.NopCloser(&body),
	}
	if err := (&place{prefix: "/p"}).rewrite(resp); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != `<a href="/p/x">` || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %s, %v, %v", got, err, resp.Header)
	}
}

// A tag without end costs a bounded amount of memory.
func TestRewriteIsBounded(t *testing.T) {
	t.Parallel()
	endless := io.MultiReader(strings.NewReader("<a href='"), endlessly('x'))
	resp := &http.Response{Header: http.Header{"Content-Type": {"text/html"}}, Request: &http.Request{Method: "GET"}, Body: io.NopCloser(endless)}
	if err := (&place{prefix: "/p"}).rewrite(resp); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil || n > 2*maxToken {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type endlessly byte

func (e endlessly) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	p := &place{backend: "10.42.0.5:80", server: "proa:6443", prefix: "/p"}
	for in, want := range map[string]string{
		"/": "/p/", "/a": "/p/a", "/a/": "/p/a/", "a": "a", "http://10.42.0.5:80/a": "/p/a", "http://elsewhere/a": "http://elsewhere/a", "": "",
	} {
		resp := &http.Response{Header: http.Header{"Location": {in}}, Request: &http.Request{Method: "GET"}}
		if err := p.rewrite(resp); err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// A page that is asked for without the slash behind "proxy" is read behind it;
// what is no page is passed on as it is.
func TestToRoot(t *testing.T) {
	t.Parallel()
	const proxy = "/api/v1/namespaces/ns/pods/p/proxy"
	for _, c := range []struct {
		method, rest, upgrade, want string
	}{
		{method: "GET", want: proxy + "/?a=b"},
		{method: "HEAD", want: proxy + "/?a=b"},
		{method: "POST"},
		{method: "GET", rest: "/"},
		{method: "GET", upgrade: "Upgrade"},
	} {
		r := httptest.NewRequest(c.method, proxy+c.rest+"?a=b", nil)
		r.Header.Set("Connection", c.upgrade)
		w := httptest.NewRecorder()
		sent := toRoot(w, r, &connect.Stream{Call: &request.Call{Info: request.Info{Rest: c.rest}}})
		if got := w.Header().Get("Location"); sent != (c.want != "") || got != c.want || sent && w.Code != http.StatusMovedPermanently {
			t.Errorf("%+v: sent %v to %q, %d", c, sent, got, w.Code)
		}
	}
}
