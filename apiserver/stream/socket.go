package stream

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// The protocols by which a log can be read over a WebSocket. Each message is a
// piece of it; without a protocol it is sent as in the first.
const (
	binaryProtocol = "binary.k8s.io"
	base64Protocol = "base64.binary.k8s.io"
)

const (
	// logPiece is the largest message, before its encoding.
	logPiece = 2 << 10
	// stall is how long a client may leave what was sent to it unread.
	stall = 90 * time.Second
)

func isWebSocket(r *http.Request) bool {
	return isUpgrade(r) && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// logSocket reads a log from a node agent, by an ordinary request, and sends
// it as messages. An agent's refusal is answered as over HTTP.
func (s *streams) logSocket(w http.ResponseWriter, r *http.Request, u *url.URL, pod string) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := s.node.RoundTrip(out)
	if err != nil {
		s.refuse(w, r, u, err)
		return nil
	}
	defer func() { _ = resp.Body.Close() }() // nothing is left to be said
	if err := logRefusal(resp, pod); err != nil {
		s.refuse(w, r, u, err)
		return nil
	}
	if resp.StatusCode > http.StatusPartialContent {
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, err := io.Copy(w, resp.Body)
		return err
	}
	conn, err := acceptLog(w, r)
	if err != nil {
		return nil // the client has been answered
	}
	defer func() { _ = conn.Close() }() // the closing message has been sent
	go func() {
		defer cancel()
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return // the client is gone; it has nothing else to say
			}
		}
	}()
	if err := sendLog(conn, resp.Body); err != nil && ctx.Err() == nil {
		s.log.Debug("a log was not sent to its end", "pod", pod, "err", err)
	}
	return nil
}

// acceptLog upgrades to WebSocket. A client that offers only protocols that
// are not known is refused.
func acceptLog(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	known := []string{binaryProtocol, base64Protocol}
	if offered := websocket.Subprotocols(r); len(offered) > 0 && !slices.ContainsFunc(offered, func(p string) bool {
		return slices.Contains(known, p)
	}) {
		http.Error(w, "requested protocol(s) are not supported", http.StatusForbidden)
		return nil, errors.New("no known protocol")
	}
	up := websocket.Upgrader{
		Subprotocols: known,
		// Credentials are never taken from cookies, so any page may ask.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(1 << 10)
	return conn, nil
}

// sendLog sends what is read, begun by an empty message that tells the client
// that the log is there, and ended by closing.
func sendLog(conn *websocket.Conn, log io.Reader) error {
	send := func(b []byte) error { return conn.WriteMessage(websocket.BinaryMessage, b) }
	if conn.Subprotocol() == base64Protocol {
		send = func(b []byte) error {
			return conn.WriteMessage(websocket.TextMessage, base64.StdEncoding.AppendEncode(nil, b))
		}
	}
	var piece [logPiece]byte
	for n, err := 0, error(nil); ; n, err = log.Read(piece[:]) {
		if err := conn.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		if n > 0 || err == nil {
			if err := send(piece[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
		case err != nil:
			return err
		}
	}
}
