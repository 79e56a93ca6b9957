package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

// executors are the clients that exist: SPDY, WebSocket v5 as kubectl speaks
// it, and WebSocket v4.
func (w *world) executors(t *testing.T, path string) map[string]remotecommand.Executor {
	t.Helper()
	out := map[string]remotecommand.Executor{}
	var err error
	if out["spdy"], err = remotecommand.NewSPDYExecutor(w.config(), "POST", w.url(path)); err != nil {
		t.Fatal(err)
	}
	if out["v5"], err = remotecommand.NewWebSocketExecutor(w.config(), "GET", w.front.URL+path); err != nil {
		t.Fatal(err)
	}
	if out["v4"], err = remotecommand.NewWebSocketExecutorForProtocols(w.config(), "GET", w.front.URL+path, "v4.channel.k8s.io"); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExecByEveryProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, e := range w.executors(t, "/exec/ns/p/c?command=echo&command=a+b&output=1&error=1") {
		var out, errs bytes.Buffer
		if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &errs}); err != nil || out.String() != "echo a b" {
			t.Errorf("%s: %q %q %v", name, out.String(), errs.String(), err)
		}
	}
	for name, e := range w.executors(t, "/exec/ns/p/uid/c?command=fail&output=1&error=1") {
		var out, errs bytes.Buffer
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &errs})
		var code exec.CodeExitError
		if !errors.As(err, &code) || code.Code != 7 || errs.String() != "bad" {
			t.Errorf("%s: exit %v, stderr %q", name, err, errs.String())
		}
	}
	for name, e := range w.executors(t, "/exec/ns/p/c?command=cat&output=1&input=1") {
		if name == "v4" {
			continue // cannot tell the end of the input
		}
		var out bytes.Buffer
		big := strings.Repeat("0123456789", 100_000)
		if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out}); err != nil || out.String() != big {
			t.Errorf("%s: %d bytes of %d, %v", name, out.Len(), len(big), err)
		}
	}
}

type oneSize chan remotecommand.TerminalSize

func (o oneSize) Next() *remotecommand.TerminalSize {
	if s, ok := <-o; ok {
		return &s
	}
	return nil
}

func TestTerminalSizeGetsThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, e := range w.executors(t, "/exec/ns/p/c?command=size&output=1&input=1&tty=1") {
		q := make(oneSize, 1)
		q <- remotecommand.TerminalSize{Width: 80, Height: 24}
		var out bytes.Buffer
		in, stop := io.Pipe()
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: true, TerminalSizeQueue: q})
		close(q)
		stop.Close()
		if err != nil || out.String() != "80x24" {
			t.Errorf("%s: %q %v", name, out.String(), err)
		}
	}
	if !w.runtime.execReq.Tty || w.runtime.execReq.Stderr {
		t.Errorf("asked for %+v", w.runtime.execReq)
	}
}

func TestAttachTakesTheContainersTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, e := range w.executors(t, "/attach/ns/p/c?output=1&tty=1") {
		var out bytes.Buffer
		if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out}); err != nil || out.String() != "attached tty=false" {
			t.Errorf("%s: %q %v", name, out.String(), err)
		}
	}
}

func TestPortForwardBySPDYAndTunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.url("/portForward/ns/p")
	rt, up, err := spdy.RoundTripperFor(w.config())
	if err != nil {
		t.Fatal(err)
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(u, w.config())
	if err != nil {
		t.Fatal(err)
	}
	for name, dialer := range map[string]httpstream.Dialer{
		"spdy": spdy.NewDialer(up, &http.Client{Transport: rt}, "POST", u), "tunnel": tunnel,
	} {
		stop, ready := make(chan struct{}), make(chan struct{})
		var errs bytes.Buffer
		pf, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, &errs)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- pf.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-done:
			t.Fatalf("%s: %v", name, err)
		}
		ports, err := pf.GetPorts()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "ping")
		got, _ := io.ReadAll(conn)
		conn.Close()
		if string(got) != "sb1 8080 ping" {
			t.Errorf("%s: %q %s", name, got, errs.String())
		}
		close(stop)
		<-done
	}
}

func TestStreamErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tc := range []struct {
		path string
		code int
		want string
	}{
		{"/exec/ns/none/c?command=x&output=1", 404, `pod "none" does not exist`},
		{"/exec/ns/p/none?command=x&output=1", 404, `container not found ("none")`},
		{"/exec/ns/p/c?command=x", 400, "you must specify at least 1 of stdin, stdout, stderr"},
		{"/exec/ns/p/c?command=x&output=1", 400, "Upgrade request required"},
		{"/portForward/ns/none", 404, `pod "none" does not exist`},
	} {
		code, body := w.call(t, "POST", tc.path)
		if code != tc.code || strings.TrimSpace(body) != tc.want {
			t.Errorf("%s: %d %q", tc.path, code, body)
		}
	}
	if code, body := w.call(t, "POST", "/run/ns/p/c?cmd=ls+-l"); code != 200 || body != "ls,-l!" {
		t.Errorf("run: %d %q", code, body)
	}
}

// rawUpgrade asks for an upgrade and returns the answer and the connection.
func (w *world) rawUpgrade(t *testing.T, path string) (*http.Response, *tls.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := tls.Dial("tcp", w.front.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nCookie: secret\r\n\r\n", path)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, conn, in
}

// CVE-2018-1002105: after a failed upgrade the connection to the backend was
// left open to the client, who could send it requests of its own. And
// CVE-2020-8559: a backend that redirects is not followed.
func TestAFailedUpgradeClosesTheBackendAndRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer string
		code   int
	}{
		"refusal":      {"HTTP/1.1 403 Forbidden\r\nContent-Type: text/x\r\nContent-Length: 2\r\nX-Internal: 1\r\n\r\nno", 403},
		"success":      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200},
		"redirect":     {"HTTP/1.1 302 Found\r\nLocation: http://victim/\r\nContent-Length: 0\r\n\r\n", 502},
		"no HTTP":      {"hello\r\n\r\n", 502},
		"closed":       {"", 502},
		"other 1xx":    {"HTTP/1.1 199 Strange\r\n\r\n", 502},
		"endless body": {"HTTP/1.1 500 Oops\r\n\r\n" + strings.Repeat("x", 1<<20), 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			closed := make(chan string, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				req, _ := http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, tc.answer)
				if tc.answer == "" {
					c.Close()
				}
				// Ends only when the server closes its side.
				rest, _ := io.ReadAll(c)
				leaked := ""
				if req.Header.Get("Authorization") != "" || req.Header.Get("Cookie") != "" {
					leaked = "credentials "
				}
				closed <- leaked + string(rest)
			}()
			w.runtime.answer = "http://" + l.Addr().String() + "/exec/token"
			res, conn, _ := w.rawUpgrade(t, "/exec/ns/p/c?command=x&output=1")
			if res.StatusCode != tc.code || res.Header.Get("Location") != "" || res.Header.Get("X-Internal") != "" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			if got := <-closed; got != "" {
				t.Errorf("the backend got %q", got)
			}
			conn.Close()
		})
	}
}

func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res, _, in := w.rawUpgrade(t, "/exec/ns/p/c?command=cat&output=1&input=1")
	if res.StatusCode != 101 {
		t.Fatalf("%d", res.StatusCode)
	}
	w.stop()
	if _, err := io.Copy(io.Discard, in); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Logf("ended with %v", err)
	}
}
