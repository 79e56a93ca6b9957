package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/rest"
	clientpf "k8s.io/client-go/tools/portforward"
	clientremote "k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

// tunnelProtocol carries a SPDY connection inside a WebSocket.
const tunnelProtocol = "SPDY/3.1+portforward.k8s.io"

// wantsV5 says whether the client speaks the WebSocket protocol with a signal
// for closing standard input.
func wantsV5(r *http.Request) bool { return offers(r, remotecommand.StreamProtocolV5Name) }

func wantsTunnel(r *http.Request) bool { return offers(r, tunnelProtocol) }

// translate serves a WebSocket client and is itself a SPDY client of the
// runtime.
func (s *Server) translate(w http.ResponseWriter, r *http.Request, to *url.URL, st streams) {
	ch, err := openChannels(w, r, st, s.cfg.StreamIdle)
	if err != nil {
		// The library answered.
		s.cfg.Log.Debug("open a WebSocket", "err", err)
		return
	}
	defer ch.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()
	go func() {
		// A client that went away takes its process's streams with it.
		defer cancel()
		ch.receive()
	}()
	executor, err := clientremote.NewSPDYExecutor(&rest.Config{Host: to.Scheme + "://" + to.Host}, http.MethodPost, to)
	if err != nil {
		writeStatus(ch.writer(chanError), err)
		return
	}
	o := clientremote.StreamOptions{Tty: st.tty}
	if st.stdin {
		o.Stdin = ch.stdin
	}
	if st.stdout {
		o.Stdout = ch.writer(chanStdout)
	}
	if st.stderr {
		o.Stderr = ch.writer(chanStderr)
	}
	if st.tty {
		o.TerminalSizeQueue = ch
	}
	writeStatus(ch.writer(chanError), executor.StreamWithContext(ctx, o))
}

// writeStatus tells the client how the process ended, as protocols from v4 on
// do.
func writeStatus(to io.Writer, err error) {
	var exit exec.CodeExitError
	var api apierrors.APIStatus
	var st metav1.Status
	switch {
	case err == nil:
		st = metav1.Status{Status: metav1.StatusSuccess}
	case errors.As(err, &exit):
		st = metav1.Status{
			Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason,
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: fmt.Sprint(exit.ExitStatus())}}},
		}
	case errors.As(err, &api):
		st = api.Status()
	default:
		st = apierrors.NewInternalError(err).Status()
	}
	if b, err := json.Marshal(&st); err == nil {
		_, _ = to.Write(b)
	}
}

// tunnel unpacks a SPDY connection from a WebSocket and joins it to the
// runtime.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request, to *url.URL) {
	header := http.Header{}
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", "SPDY/3.1")
	header.Set("X-Stream-Protocol-Version", "portforward.k8s.io")
	back, in, res, err := upgrade(r.Context(), to, http.MethodPost, header)
	if err != nil {
		s.cfg.Log.Warn("reach the runtime's stream", "err", err)
		http.Error(w, "error dialing the container runtime", http.StatusBadGateway)
		return
	}
	defer back.Close()
	defer context.AfterFunc(s.streams, func() { back.Close() })()
	if res.StatusCode != http.StatusSwitchingProtocols {
		refuse(w, res)
		return
	}
	res.Body.Close()
	up := websocket.Upgrader{
		Subprotocols: []string{tunnelProtocol},
		// Browsers do not come here: every caller has credentials of its own.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		s.cfg.Log.Debug("open a WebSocket", "err", err)
		return
	}
	front := clientpf.NewTunnelingConnection("node", ws)
	defer front.Close()
	copyBoth(front, front, back, in)
}
