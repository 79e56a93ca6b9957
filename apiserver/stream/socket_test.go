package stream

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// TestLogOverWebSocket: each protocol carries the log in messages of its own
// kind, after an empty one, and is closed at its end.
func TestLogOverWebSocket(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("line\n", 1000)
	for name, c := range map[string]struct {
		offers []string
		answer http.HandlerFunc
		code   int // of a handshake that fails
		kind   int
		want   []string
	}{
		"no protocol": {nil, says("alive\n"), 0, websocket.BinaryMessage, []string{"", "alive\n"}},
		"binary":      {[]string{"other", binaryProtocol}, says("alive\n"), 0, websocket.BinaryMessage, []string{"", "alive\n"}},
		"base64":      {[]string{base64Protocol}, says("alive\n"), 0, websocket.TextMessage, []string{"", "YWxpdmUK"}},
		"no log":      {[]string{binaryProtocol}, says(""), 0, websocket.BinaryMessage, []string{""}},
		"long":        {[]string{binaryProtocol}, says(long), 0, websocket.BinaryMessage, nil},
		"unknown":     {[]string{"channel.k8s.io"}, says(""), 403, 0, []string{"requested protocol(s) are not supported"}},
		"refused": {[]string{binaryProtocol}, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such container", 400) },
			400, 0, []string{`"message":"no such container"`}},
		"redirected": {[]string{binaryProtocol}, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://victim/", 302) },
			502, 0, []string{"not permitted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := httptest.NewServer(c.answer)
			defer agent.Close()
			s := &streams{log: slog.New(slog.DiscardHandler), node: &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, agent.Listener.Addr().String())
				},
			}}
			defer s.node.CloseIdleConnections()
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := s.logSocket(w, r, &url.URL{Scheme: "http", Host: "192.0.2.1:10250", Path: "/containerLogs/ns/p/c"}, "p"); err != nil {
					t.Error(err)
				}
			}))
			defer front.Close()
			d := websocket.Dialer{Subprotocols: c.offers}
			conn, res, err := d.DialContext(t.Context(), strings.Replace(front.URL, "http", "ws", 1), nil)
			if c.code != 0 {
				body, _ := io.ReadAll(res.Body) // the dialer keeps its beginning
				if err == nil || res.StatusCode != c.code || !strings.Contains(string(body), c.want[0]) {
					t.Fatalf("%v, %d %s", err, res.StatusCode, body)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var got []string
			for {
				kind, m, err := conn.ReadMessage()
				if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
					break
				}
				if err != nil || kind != c.kind {
					t.Fatalf("message of kind %d, %v", kind, err)
				}
				got = append(got, string(m))
			}
			if c.want == nil {
				if strings.Join(got, "") != long {
					t.Errorf("%d bytes in %d messages", len(strings.Join(got, "")), len(got))
				}
			} else if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("%q", got)
			}
		})
	}
}

func says(log string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, log) }
}
