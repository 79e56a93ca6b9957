package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommands is a conversation in the words of the protocol.
func TestCommands(t *testing.T) {
	t.Parallel()
	s, err := openStore(filepath.Join(t.TempDir(), "sub", "store.aof"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, want string }{
		{"PING", "+PONG"}, {"ping hi", "$2 hi"}, {"GET a", "$-1"}, {"SET a 1", "+OK"}, {"GET a", "$1 1"}, {"INCR a", ":2"}, {"INCR n", ":1"},
		{"SET a text", "+OK"}, {"INCR a", "-ERR value is not an integer or out of range"}, {"LPUSH a x", strings.TrimSpace(wrongType)},
		{"LPUSH l 1 2 3", ":3"}, {"LRANGE l 0 -1", "*3 $1 3 $1 2 $1 1"}, {"LRANGE l 1 1", "*1 $1 2"}, {"LRANGE l 5 9", "*0"}, {"LRANGE l x 1", "-ERR value is not an integer or out of range"},
		{"LRANGE none 0 -1", "*0"}, {"LLEN l", ":3"}, {"GET l", strings.TrimSpace(wrongType)}, {"DBSIZE", ":3"}, {"DEL a l none", ":2"}, {"DBSIZE", ":1"},
		{"GET", "-ERR wrong number of arguments for 'get' command"}, {"FLUSHALL", "-ERR unknown command 'FLUSHALL'"}, {"COMMAND DOCS", "*0"}, {"", "-ERR there is no command"},
	} {
		if got := strings.Join(strings.Fields(s.do(strings.Fields(c.command))), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.command, got, c.want)
		}
	}
	if s.size != len("n")+len("1")+overhead {
		t.Errorf("%d bytes are counted after all but n is gone", s.size)
	}
}

// TestKept: what was answered is there after a crash, wherever it cut the file.
func TestKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.aof")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	s.do([]string{"SET", "k", "a b\r\nc"})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.do([]string{"LPUSH", "l", "1"})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(before); cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.do([]string{"GET", "k"}); got != bulk("a b\r\nc") {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		if got := s.do([]string{"LPUSH", "l", "2"}); got != ":1\r\n" {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		if s, err = openStore(path); err != nil || s.do([]string{"LRANGE", "l", "0", "-1"}) != "*1\r\n"+bulk("2") {
			t.Fatalf("cut at %d: what was written after it is lost: %v", cut, err)
		}
	}
}

// TestRewritten: a file that tells of much that is no longer so is written anew, and
// tells the same.
func TestRewritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.aof")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	s.do([]string{"LPUSH", "l", "1", "2"})
	big := strings.Repeat("x", slack/4)
	for range 10 {
		if got := s.do([]string{"SET", "k", big}); got != "+OK\r\n" {
			t.Fatal(got)
		}
	}
	if f, err := os.Stat(path); err != nil || f.Size() > 3*slack {
		t.Errorf("the file has %v bytes, %v", f.Size(), err)
	}
	before := s.size
	if s, err = openStore(path); err != nil || s.size != before || s.do([]string{"LRANGE", "l", "0", "-1"}) != "*2\r\n"+bulk("2")+bulk("1") {
		t.Errorf("after a rewrite there are %d bytes, want %d: %v", s.size, before, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "rewrite-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"*1\r\n$4\r\nPING\r\n": nil, "PING\r\n": nil, "\r\n": nil, "*0\r\n": nil,
		"*1\r\n$-1\r\n": errProtocol, "*1\r\n+x\r\n": errProtocol, "*9999999\r\n": errProtocol, "*1\r\n$9999999\r\n": errProtocol, "*x\r\n": errProtocol,
		strings.Repeat("a", 1<<20): errProtocol, "*1\r\n$4\r\nPI": io.ErrUnexpectedEOF, "": io.EOF,
	} {
		if _, err := readCommand(bufio.NewReader(strings.NewReader(in))); !errors.Is(err, want) {
			t.Errorf("%.30q: %v, want %v", in, err, want)
		}
	}
}

// TestGuestbook is the two tiers together.
func TestGuestbook(t *testing.T) {
	t.Parallel()
	s, err := openStore(filepath.Join(t.TempDir(), "store.aof"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, l) }()
	h := newGuestbook("pod-1", l.Addr().String(), t.Logf)
	do := func(method, path, body string) (int, string) {
		q := httptest.NewRequest(method, path, strings.NewReader(body))
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w.Code, w.Body.String()
	}
	for _, entry := range []string{"first", "<script>alert('second')</script>"} {
		if code, body := do("POST", "/", url.Values{"entry": {entry}}.Encode()); code != http.StatusSeeOther {
			t.Errorf("%d %s", code, body)
		}
	}
	for _, entry := range []string{"", strings.Repeat("x", maxEntry+1)} {
		if code, _ := do("POST", "/", url.Values{"entry": {entry}}.Encode()); code != http.StatusBadRequest {
			t.Errorf("an entry of %d bytes is answered %d", len(entry), code)
		}
	}
	code, body := do("GET", "/", "")
	if want := "<li>&lt;script&gt;alert(&#39;second&#39;)&lt;/script&gt;</li>\n<li>first</li>"; code != 200 || !strings.Contains(body, want) || !strings.Contains(body, "Page 1, from pod pod-1") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := do("GET", "/healthz", ""); code != 200 {
		t.Errorf("healthy: %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/", "/healthz"} {
		if code, _ := do("GET", path, ""); code != http.StatusServiceUnavailable {
			t.Errorf("%s without a store: %d", path, code)
		}
	}
}
