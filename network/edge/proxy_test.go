package edge

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// serving is a proxy on two ports of this machine.
type serving struct {
	*Proxy
	plain, secure string
}

func serve(t *testing.T) *serving {
	t.Helper()
	s := &serving{Proxy: New(slog.New(slog.DiscardHandler))}
	plain, secure := listener(t), listener(t)
	s.plain, s.secure = plain.Addr().String(), secure.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, plain, secure) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// lead makes all hosts lead to the endpoints.
func (s *serving) lead(p Protocol, addresses ...string) *Backend {
	b := NewBackend("test")
	b.Set(endpoints(p, addresses...))
	s.Use(NewTable([]Route{{Kind: Prefix, Path: "/", Action: Action{Backend: b}}}, nil, nil))
	return b
}

func endpoints(p Protocol, addresses ...string) Endpoints {
	e := Endpoints{Protocol: p}
	for _, a := range addresses {
		e.Addresses = append(e.Addresses, netip.MustParseAddrPort(a))
	}
	return e
}

// backend is a web server on a free port.
func backend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// gone is an address on which nobody listens.
func gone(t *testing.T) string {
	l := listener(t)
	defer l.Close()
	return l.Addr().String()
}

// raw sends bytes and returns the first line of the answer, and the rest.
func raw(t *testing.T, address, request string) (string, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	// A server that refuses what it has not read to the end cuts the connection.
	if err != nil && len(all) == 0 {
		t.Fatal(err)
	}
	line, rest, _ := strings.Cut(string(all), "\r\n")
	return line, rest
}

// What a client says of itself is not believed, and what it calls a header of one
// hop takes nothing of what the proxy says.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.lead(HTTP, backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host=%s uri=%s\n", r.Host, r.RequestURI)
		_ = r.Header.Write(w)
	}))
	line, body := raw(t, s.plain, "GET /a%2Fb?x=1;y=2&z HTTP/1.1\r\nHost: Shop.example:80\r\nConnection: close, X-Real-Ip, X-Forwarded-For, X-Hop\r\n"+
		"X-Hop: 1\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"+
		"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Prefix: /evil\r\nProxy: evil\r\nX-Original-Url: /evil\r\nX-Mine: kept\r\n\r\n")
	if line != "HTTP/1.1 200 OK" {
		t.Fatal(line, body)
	}
	_, body, _ = strings.Cut(body, "\r\n\r\n")
	for _, want := range []string{"host=Shop.example:80 uri=/a%2Fb?x=1;y=2&z\n", "X-Forwarded-For: 127.0.0.1\r", "X-Real-Ip: 127.0.0.1\r",
		"X-Forwarded-Proto: http\r", "X-Forwarded-Host: Shop.example:80\r", "X-Mine: kept\r", "X-Forwarded-Port: "} {
		if !strings.Contains(body, want) {
			t.Errorf("the backend lacks %q in:\n%s", want, body)
		}
	}
	for _, no := range []string{"6.6.6.6", "evil", "X-Hop", "Connection:"} {
		if strings.Contains(body, no) {
			t.Errorf("the backend sees %q in:\n%s", no, body)
		}
	}
}

// No two servers on the way may differ in where a request ends (smuggling), or
// which path it is for.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var reached atomic.Int32
	s.lead(HTTP, backend(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "smuggled") || strings.Contains(r.URL.Path, "smuggled") {
			t.Errorf("%s %q reached the backend", r.URL, body)
		}
		reached.Add(1)
	}))
	const head = "Host: a\r\nConnection: close\r\n"
	for request, want := range map[string]string{
		"POST / HTTP/1.1\r\n" + head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab":                                                           "400",
		"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n":                                                      "501",
		"POST / HTTP/1.1\r\n" + head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n":                                                               "400",
		"POST / HTTP/1.1\r\n" + head + "Content-Length: +1\r\n\r\na":                                                                                "400",
		"GET / HTTP/1.1\r\n" + head + "X: a\x00b\r\n\r\n":                                                                                           "400",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n":                                                                         "400",
		"GET / HTTP/1.1\r\nConnection: close\r\n\r\n":                                                                                               "400",
		"GET /a/../b HTTP/1.1\r\n" + head + "\r\n":                                                                                                  "400",
		"GET /a/%2e%2e%2fb HTTP/1.1\r\n" + head + "\r\n":                                                                                            "400",
		"CONNECT b:443 HTTP/1.1\r\n" + head + "\r\n":                                                                                                "405",
		"GET / HTTP/1.1\r\n" + head + "X: " + strings.Repeat("a", maxHeader+8192) + "\r\n\r\n":                                                      "431",
		"POST / HTTP/1.1\r\n" + head + "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n": "200",
	} {
		if line, body := raw(t, s.plain, request); !strings.HasPrefix(line, "HTTP/1.1 "+want) && !strings.HasPrefix(line, "HTTP/1.0 "+want) {
			t.Errorf("%.120q is answered %q, want %s: %.100s", request, line, want, body)
		}
	}
	if n := reached.Load(); n != 1 {
		t.Errorf("%d requests reached the backend, not the one that is valid", n)
	}
}

// A request to an endpoint that is gone is sent to another, with all of its body;
// one that was sent is not sent again.
func TestAnotherEndpoint(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var reached atomic.Int32
	alive := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	l := listener(t)
	second := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
	go second.Serve(l) //nolint:errcheck // ends with its listener
	t.Cleanup(func() { second.Close() })
	for protocol, alive := range map[Protocol]string{HTTP: alive, H2C: l.Addr().String()} {
		s.lead(protocol, gone(t), gone(t), alive)
		for range 6 {
			if status, body := post(t, "http://"+s.plain+"/", "body"); status != 200 || body != "body" {
				t.Errorf("by protocol %d: %d %q", protocol, status, body)
			}
		}
	}
	breaks := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		reached.Add(1)
		panic(http.ErrAbortHandler)
	})
	s.lead(HTTP, breaks, breaks)
	if status, _ := post(t, "http://"+s.plain+"/", "body"); status != http.StatusBadGateway || reached.Load() != 1 {
		t.Errorf("what was sent once is answered %d and was sent %d times", status, reached.Load())
	}
	s.lead(HTTP, gone(t))
	if status, _ := post(t, "http://"+s.plain+"/", "body"); status != http.StatusBadGateway {
		t.Errorf("without a living endpoint the answer is %d", status)
	}
	s.lead(HTTP)
	if status, _ := post(t, "http://"+s.plain+"/", "body"); status != http.StatusServiceUnavailable {
		t.Errorf("without an endpoint the answer is %d", status)
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	r, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(all)
}

// Endpoints and tables are replaced under requests, of which none fails.
func TestReplaced(t *testing.T) {
	t.Parallel()
	s := serve(t)
	old := backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	young := backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	b := s.lead(HTTP, old)
	done := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := http.Get("http://" + s.plain + "/")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if string(body) != "fine" || err != nil {
					t.Errorf("%d %q %v", r.StatusCode, body, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		b.Set(endpoints(HTTP, []string{old, young}[i%2]))
		if i%10 == 0 {
			b = s.lead(HTTP, old)
		}
	}
	close(done)
	users.Wait()
}

// certificate is one for names that nobody else has signed.
func certificate(t *testing.T, names ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTLS: a certificate by name, HTTP/2, the way there from plain HTTP, and no
// way past a certificate on a connection that was opened for another.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := serve(t)
	standIn, err := StandIn(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b := NewBackend("test")
	b.Set(endpoints(HTTP, backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"))
	})))
	s.Use(NewTable([]Route{{Kind: Prefix, Path: "/", Action: Action{Backend: b, HTTPS: true}}},
		map[string]*tls.Certificate{"a.example": certificate(t, "a.example"), "*.b.example": certificate(t, "*.b.example")}, standIn))
	for _, c := range []struct {
		sni, host, name string
		status          int
	}{
		{"a.example", "a.example", "a.example", 200},
		{"a.example", "a.example:443", "a.example", 200},
		{"x.b.example", "y.b.example", "*.b.example", 200},
		{"a.example", "x.b.example", "a.example", 421},
		{"other.example", "another.example", "ingress.local", 200},
		{"other.example", "a.example", "ingress.local", 421},
	} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{ServerName: c.sni, InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		}}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.secure+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = c.host
		r, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if got := r.TLS.PeerCertificates[0].DNSNames[0]; got != c.name || r.StatusCode != c.status || r.ProtoMajor != 2 {
			t.Errorf("%s for %s: HTTP/%d %d with the certificate of %s", c.sni, c.host, r.ProtoMajor, r.StatusCode, got)
		}
		if c.status == 200 && string(body) != "https" {
			t.Errorf("the backend is told that the client speaks %q", body)
		}
	}
	_, port, _ := net.SplitHostPort(s.secure)
	line, rest := raw(t, s.plain, "POST /p%2Fq?x HTTP/1.1\r\nHost: A.example:1\r\nConnection: close\r\n\r\n")
	if want := "Location: https://a.example:" + port + "/p%2Fq?x\r\n"; !strings.Contains(line, "308") || !strings.Contains(rest, want) {
		t.Errorf("without TLS: %s, want %s in\n%s", line, want, rest)
	}
}

// TestStreams: HTTP/2 without TLS on both sides, in both directions at once, with
// trailers, as gRPC uses it.
func TestStreams(t *testing.T) {
	t.Parallel()
	s := serve(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	l := listener(t)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			t.Errorf("the backend is asked in %s, with TE %q", r.Proto, r.Header.Get("Te"))
		}
		w.Header().Set("Trailer", "Grpc-Status")
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			fmt.Fprint(w, strings.ToUpper(line))
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "7")
	})}
	go server.Serve(l) //nolint:errcheck // ends with its listener
	t.Cleanup(func() { server.Close() })
	s.lead(H2C, l.Addr().String())

	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	reader, writer := io.Pipe()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.plain+"/pkg.Service/Method", reader)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Te", "trailers")
	q.Header.Set("Content-Type", "application/grpc")
	go func() { _, _ = io.WriteString(writer, "first\n") }()
	r, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	in := bufio.NewReader(r.Body)
	for _, want := range []string{"FIRST\n", "SECOND\n"} {
		if got, err := in.ReadString('\n'); got != want || err != nil {
			t.Fatalf("%q %v, want %q", got, err, want)
		}
		if want == "FIRST\n" { // the second is sent once the first has come back
			if _, err := io.WriteString(writer, "second\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	writer.Close()
	if _, err := io.ReadAll(in); err != nil || r.Trailer.Get("Grpc-Status") != "7" {
		t.Errorf("trailers %v, %v", r.Trailer, err)
	}
	client.CloseIdleConnections()
}

// TestBackendTLS: an endpoint that speaks TLS is asked in TLS, in HTTP/2 where it
// can; a WebSocket passes through in any case.
func TestBackendTLS(t *testing.T) {
	t.Parallel()
	s := serve(t)
	upgrader := websocket.Upgrader{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/echo" {
			fmt.Fprintf(w, "%d %t", r.ProtoMajor, r.TLS != nil)
			return
		}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for {
			kind, data, err := c.ReadMessage()
			if err != nil {
				return
			}
			if err := c.WriteMessage(kind, data); err != nil {
				t.Error(err)
			}
		}
	})
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for protocol, c := range map[Protocol]struct{ at, want string }{
		HTTPS: {secure.Listener.Addr().String(), "2 true"}, HTTP: {backend(t, handler), "1 false"},
	} {
		s.lead(protocol, c.at)
		if _, body := post(t, "http://"+s.plain+"/", ""); body != c.want {
			t.Errorf("the backend was asked in HTTP/%s, want %s", body, c.want)
		}
		socket, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.plain+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two"} {
			if err := socket.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := socket.ReadMessage(); string(got) != text || err != nil {
				t.Errorf("%q %v, want %q", got, err, text)
			}
		}
		socket.Close()
	}
}

// TestEnds: a request that is under way when the proxy ends is answered.
func TestEnds(t *testing.T) {
	t.Parallel()
	p := New(slog.New(slog.DiscardHandler))
	s := &serving{Proxy: p}
	entered, leave := make(chan struct{}), make(chan struct{})
	s.lead(HTTP, backend(t, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		fmt.Fprint(w, "answered")
	}))
	l := listener(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l, nil) }()
	answer := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + l.Addr().String() + "/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answer <- string(body)
	}()
	<-entered
	cancel()
	// It no longer listens, and still answers.
	for {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	close(leave)
	if got := <-answer; got != "answered" {
		t.Errorf("the request that was under way is answered %q", got)
	}
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
