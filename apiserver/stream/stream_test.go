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

	corev1 "k8s.io/api/core/v1"

	"proa/apiserver/backend"
)

// CVE-2020-8562, CVE-2022-3294 and CVE-2020-8555: the address that is dialled is
// the one that was checked, whatever a node or pod says its own is. No name is
// resolved, and nothing of the server's own machine or link is reached.
func TestAddressesAreChecked(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"192.0.2.1": true, "10.42.0.7": true, "2001:db8::1": true, "::ffff:192.0.2.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "2001:db8::1%eth0": false, "224.0.0.1": false, "ff02::1": false,
		"localhost": false, "metadata.internal": false, "": false, "192.0.2.1:80": false, "0x7f.1": false, "127.1": false, "2130706433": false,
	} {
		a, err := backend.Reachable(address)
		if (err == nil) != ok {
			t.Errorf("%q: %v, %v", address, a, err)
		}
		n := &corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}}}
		if u, err := agentOf(n); (err == nil) != ok {
			t.Errorf("node at %q: %v, %v", address, u, err)
		}
	}
}

// passes sends requests through the pass to a backend, whose answer it is.
func passes(t *testing.T, answer http.HandlerFunc) (front *httptest.Server, headers chan http.Header) {
	t.Helper()
	headers = make(chan http.Header, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Clone()
		answer(w, r)
	}))
	t.Cleanup(backend.Close)
	s := &streams{log: slog.New(slog.DiscardHandler), node: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "192.0.2.1:10250" {
				t.Errorf("%s was dialled", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, backend.Listener.Addr().String())
		},
	}}
	t.Cleanup(s.node.CloseIdleConnections)
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.toAgent(w, r, &url.URL{Scheme: "http", Host: "192.0.2.1:10250", Path: "/exec/ns/p/c"}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(front.Close)
	return front, headers
}

// CVE-2020-8559 and CVE-2022-3172: where an agent wants to send the server or
// its client, nobody goes.
// CVE-2018-1002105: an upgrade that failed is an ordinary answer; the connection
// to the agent, which trusts the server, does not become the client's.
func TestAgentsAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   int
		text   string
	}{
		"redirect":          {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://victim/", 302) }, 502, "the backend attempted to redirect this request, which is not permitted"},
		"lasting redirect":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://192.0.2.1:10250/run", 308) }, 502, "not permitted"},
		"refusal":           {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 403) }, 403, "no"},
		"success":           {func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") }, 200, "ok"},
		"another protocol":  {func(w http.ResponseWriter, r *http.Request) { switchTo(w, "other") }, 500, "error dialing backend"},
		"end of connection": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 500, "error dialing backend"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front, headers := passes(t, c.answer)
			r, err := http.NewRequestWithContext(t.Context(), "POST", front.URL+"/api/v1/namespaces/ns/pods/p/exec", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
			r.Header.Set("Authorization", "Bearer secret")
			r.Header.Set("Impersonate-User", "admin")
			r.Header.Set("Impersonate-Extra-Scope", "secret")
			r.Header.Set("X-Remote-Group", "system:masters")
			r.Header.Set("Sec-Websocket-Protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io")
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.code || !strings.Contains(string(text), c.text) || res.Header.Get("Location") != "" {
				t.Errorf("%d %v %q, %v", res.StatusCode, res.Header, text, err)
			}
			// Credentials are for this server alone.
			for k, v := range <-headers {
				all := strings.Join(v, " ")
				if strings.Contains(all, "secret") || strings.Contains(all, "c2VjcmV0") || strings.HasPrefix(k, "Impersonate-") || strings.HasPrefix(k, "X-Remote-") {
					t.Errorf("the agent got %s: %s", k, all)
				}
			}
		})
	}
}

func switchTo(w http.ResponseWriter, protocol string) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", protocol)
	w.WriteHeader(http.StatusSwitchingProtocols)
}

// A pod's address stands in brackets where it has colons.
func TestURLOfTarget(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"p": "http://[2001:db8::7]", "p:80": "http://[2001:db8::7]:80", "https:p:443": "https://[2001:db8::7]:443",
	} {
		s := &streams{objects: onePod{}}
		u, err := s.locatePod(t.Context(), "ns", id)
		if err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", id, u, err)
		}
	}
	if _, err := parseTarget("ftp:p:21"); err == nil {
		t.Error("a scheme of no kind was taken")
	}
}

// onePod knows one pod.
type onePod struct{ Objects }

func (onePod) Pod(context.Context, string, string) (*corev1.Pod, error) {
	return &corev1.Pod{Status: corev1.PodStatus{PodIP: "2001:db8::7"}}, nil
}
