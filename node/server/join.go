package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// upgradeTimeout bounds the backend's answer to an upgrade; maxAnswer what
	// of a refusal is passed on, in bytes.
	upgradeTimeout = 30 * time.Second
	maxAnswer      = 64 << 10
)

// join upgrades the client's connection and one to the backend, and copies
// between them until either ends. The backend sees the client's wish for an
// upgrade and nothing else of it: no credentials, no path.
func (s *Server) join(w http.ResponseWriter, r *http.Request, to *url.URL) {
	if !isUpgrade(r) {
		http.Error(w, "Upgrade request required", http.StatusBadRequest)
		return
	}
	header := http.Header{}
	for k, v := range r.Header {
		if k == "Connection" || k == "Upgrade" || k == "X-Stream-Protocol-Version" || strings.HasPrefix(k, "Sec-Websocket-") {
			header[k] = v
		}
	}
	back, in, res, err := upgrade(r.Context(), to, r.Method, header)
	if err != nil {
		s.cfg.Log.Warn("reach the runtime's stream", "err", err)
		http.Error(w, "error dialing the container runtime", http.StatusBadGateway)
		return
	}
	// Whatever happens, this connection is used for this and then closed.
	defer back.Close()
	defer context.AfterFunc(s.streams, func() { back.Close() })()
	if res.StatusCode != http.StatusSwitchingProtocols {
		refuse(w, res)
		return
	}
	res.Body.Close()
	front, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "unable to upgrade: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer front.Close()
	_ = front.SetDeadline(time.Time{})
	fmt.Fprintf(buf, "HTTP/1.1 101 Switching Protocols\r\n")
	_ = res.Header.Write(buf)
	fmt.Fprint(buf, "\r\n")
	if buf.Flush() != nil {
		return
	}
	copyBoth(front, buf.Reader, back, in)
}

// copyBoth copies in both directions until one ends, then closes both. The
// readers hold what was read ahead.
func copyBoth(a net.Conn, fromA io.Reader, b net.Conn, fromB io.Reader) {
	done := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go pipe(b, fromA)
	go pipe(a, fromB)
	<-done
	a.Close()
	b.Close()
	<-done
}

// upgrade dials a URL and asks for an upgrade. The caller closes the
// connection, whatever was answered.
func upgrade(ctx context.Context, to *url.URL, method string, header http.Header) (net.Conn, *bufio.Reader, *http.Response, error) {
	conn, err := dial(ctx, to)
	if err != nil {
		return nil, nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(upgradeTimeout))
	req := &http.Request{Method: method, URL: to, Host: to.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if err := req.Write(conn); err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, req)
	if err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = conn.SetDeadline(time.Time{})
	}
	return conn, in, res, nil
}

func dial(ctx context.Context, to *url.URL) (net.Conn, error) {
	host := to.Host
	d := &net.Dialer{Timeout: dialTimeout}
	switch to.Scheme {
	case "http":
		if to.Port() == "" {
			host = net.JoinHostPort(to.Hostname(), "80")
		}
		return d.DialContext(ctx, "tcp", host)
	case "https":
		if to.Port() == "" {
			host = net.JoinHostPort(to.Hostname(), "443")
		}
		return (&tls.Dialer{NetDialer: d, Config: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", host)
	}
	return nil, fmt.Errorf("the runtime streams over %q, want http or https", to.Scheme)
}

// refuse passes on why the backend did not upgrade. A redirect is never
// followed, nor handed to a client that might (CVE-2020-8559).
func refuse(w http.ResponseWriter, res *http.Response) {
	defer res.Body.Close()
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		http.Error(w, "the backend attempted to redirect this request, which is not permitted", http.StatusBadGateway)
		return
	}
	if res.StatusCode < 200 {
		http.Error(w, fmt.Sprintf("the backend answered %s to an upgrade", res.Status), http.StatusBadGateway)
		return
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && len(body) == 0 {
		http.Error(w, "the backend's answer could not be read", http.StatusBadGateway)
		return
	}
	if t := res.Header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", t)
	}
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(body)
}

func isUpgrade(r *http.Request) bool {
	for _, h := range r.Header.Values("Connection") {
		for f := range strings.SplitSeq(h, ",") {
			if strings.EqualFold(strings.TrimSpace(f), "upgrade") {
				return r.Header.Get("Upgrade") != ""
			}
		}
	}
	return false
}

func isWebSocket(r *http.Request) bool {
	return isUpgrade(r) && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// offers says whether a WebSocket client offers a subprotocol.
func offers(r *http.Request, protocol string) bool {
	if !isWebSocket(r) {
		return false
	}
	for _, h := range r.Header.Values("Sec-Websocket-Protocol") {
		for p := range strings.SplitSeq(h, ",") {
			if strings.TrimSpace(p) == protocol {
				return true
			}
		}
	}
	return false
}
