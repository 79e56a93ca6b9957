package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"proa/apiserver/codec"
	"proa/apiserver/negotiate"
)

// socketSink sends each frame as one WebSocket message.
type socketSink struct {
	conn *websocket.Conn
	kind int
	skip int // bytes of framing that messages do without
}

// newSocketSink accepts the connection. cancel is called when the client
// closes it. On failure the client has been answered.
func newSocketSink(w http.ResponseWriter, r *http.Request, out negotiate.Output, cancel context.CancelFunc) (*socketSink, error) {
	up := websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		// Credentials are never taken from cookies, so any page may ask.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	s := &socketSink{conn: conn, kind: websocket.TextMessage}
	if out.Format == codec.Protobuf {
		s.kind, s.skip = websocket.BinaryMessage, 4
	}
	conn.SetReadLimit(1 << 10) // clients have nothing to say
	go func() {
		defer cancel()
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
	return s, nil
}

func (s *socketSink) Write(frame []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	return s.conn.WriteMessage(s.kind, frame[s.skip:])
}

func (s *socketSink) Flush() error { return nil }

func (s *socketSink) Close() {
	_ = s.conn.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	_ = s.conn.Close()
}
