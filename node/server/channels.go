package server

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	clientremote "k8s.io/client-go/tools/remotecommand"
)

// The channels of a WebSocket, by the first byte of each message.
const (
	chanStdin = iota
	chanStdout
	chanStderr
	chanError
	chanResize
	// chanClose is followed by the number of the channel that ends.
	chanClose = remotecommand.StreamClose
)

const (
	// maxFrame bounds what a client may send at once, and writeTimeout how
	// long it may take to accept what it is sent.
	maxFrame     = 1 << 20
	writeTimeout = 30 * time.Second
	// chunk bounds one message to the client.
	chunk = 32 << 10
)

// channels are the streams of one process over one WebSocket, as
// v5.channel.k8s.io has them.
type channels struct {
	ws   *websocket.Conn
	idle time.Duration

	stdin  *io.PipeReader
	stdinW *io.PipeWriter
	sizes  chan clientremote.TerminalSize

	write sync.Mutex
}

func openChannels(w http.ResponseWriter, r *http.Request, st streams, idle time.Duration) (*channels, error) {
	up := websocket.Upgrader{
		Subprotocols: []string{remotecommand.StreamProtocolV5Name},
		// Browsers do not come here: every caller has credentials of its own.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	c := &channels{ws: ws, idle: idle, sizes: make(chan clientremote.TerminalSize, 1)}
	c.stdin, c.stdinW = io.Pipe()
	if !st.stdin {
		c.stdin.Close() // what comes all the same is dropped
	}
	ws.SetReadLimit(maxFrame)
	pong := ws.PingHandler()
	ws.SetPingHandler(func(data string) error {
		c.awake()
		return pong(data)
	})
	c.awake()
	// An empty message tells the client that the streams stand.
	first := byte(chanError)
	if st.stdout {
		first = chanStdout
	} else if st.stderr {
		first = chanStderr
	}
	if _, err := c.writer(first).Write(nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *channels) awake() { _ = c.ws.SetReadDeadline(time.Now().Add(c.idle)) }

// receive takes what the client sends until it is gone.
func (c *channels) receive() {
	defer close(c.sizes)
	defer c.stdinW.Close()
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		c.awake()
		if len(data) == 0 {
			continue
		}
		switch body := data[1:]; data[0] {
		case chanStdin:
			_, _ = c.stdinW.Write(body)
		case chanResize:
			var size clientremote.TerminalSize
			if json.Unmarshal(body, &size) == nil {
				c.resize(size)
			}
		case chanClose:
			if len(body) == 1 && body[0] == chanStdin {
				c.stdinW.Close()
			}
		}
	}
}

// resize keeps the newest size only.
func (c *channels) resize(size clientremote.TerminalSize) {
	for {
		select {
		case c.sizes <- size:
			return
		default:
		}
		select {
		case <-c.sizes:
		default:
		}
	}
}

// Next implements remotecommand.TerminalSizeQueue: nil ends it.
func (c *channels) Next() *clientremote.TerminalSize {
	if size, ok := <-c.sizes; ok {
		return &size
	}
	return nil
}

// writer sends to one channel. Safe for concurrent use with the others.
func (c *channels) writer(channel byte) io.Writer { return channelWriter{c, channel} }

type channelWriter struct {
	c       *channels
	channel byte
}

func (w channelWriter) Write(b []byte) (n int, err error) {
	for {
		part := b[:min(len(b), chunk)]
		if err := w.c.send(w.channel, part); err != nil {
			return n, err
		}
		n += len(part)
		if b = b[len(part):]; len(b) == 0 {
			return n, nil
		}
	}
}

func (c *channels) send(channel byte, b []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	w, err := c.ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte{channel}); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}

// Close says goodbye and ends the connection. It is the server who closes: a
// client reads its status to the end.
func (c *channels) Close() {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	c.ws.Close()
	c.stdin.Close()
}
