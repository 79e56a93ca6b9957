package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
)

const maxRedirects = 10

// quickClose makes a socket vanish at once when closed, so that frequent probes
// leave no connections in TIME_WAIT.
func quickClose(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: 1})
	})
}

// http gets a URL of the container: 2xx and 3xx are success. Redirects are
// followed on the same host only; one that leads elsewhere is a warning.
func (d *Dialer) http(ctx context.Context, t Target, a *v1.HTTPGetAction, timeout time.Duration) (Outcome, string, error) {
	req, err := NewRequest(ctx, t.Container, t.IP, a, "kube-probe/"+d.Version)
	if err != nil {
		return Failure, "", err
	}
	client := &http.Client{
		Timeout:   timeout,
		Transport: transport(),
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= maxRedirects {
				return fmt.Errorf("stopped after %d redirects", maxRedirects)
			}
			if via[0].Host != "" {
				next.Host = via[0].Host
			}
			return nil
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return Failure, err.Error(), nil
	}
	defer resp.Body.Close()
	body, err := readCut(resp.Body)
	if err != nil {
		return Failure, "", err
	}
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return Warning, fmt.Sprintf("Probe terminated redirects, Response body: %v", body), nil
	case code >= 200 && code < 300:
		return Success, body, nil
	default:
		return Failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", code), nil
	}
}

// transport connects anew for each check, never through a proxy, and does not
// verify certificates: the check is about life, not about identity.
func transport() *http.Transport {
	return &http.Transport{
		DialContext:        (&net.Dialer{Timeout: 30 * time.Second, Control: quickClose}).DialContext,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:  true,
		DisableCompression: true,
		Proxy:              nil,
	}
}

// NewRequest makes the request of an httpGet action against a container. It
// serves probes and lifecycle hooks alike.
func NewRequest(ctx context.Context, c *v1.Container, ip string, a *v1.HTTPGetAction, agent string) (*http.Request, error) {
	port, err := resolvePort(a.Port, c)
	if err != nil {
		return nil, err
	}
	host := a.Host
	if host == "" {
		host = ip
	}
	scheme := strings.ToLower(string(a.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	u, err := url.Parse(a.Path)
	if err != nil {
		// A path that is no URL is taken literally.
		u = &url.URL{Path: a.Path}
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(host, strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, h := range a.HTTPHeaders {
		req.Header.Add(h.Name, h.Value)
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header.Set("User-Agent", agent)
	} else if req.Header.Get("User-Agent") == "" {
		req.Header["User-Agent"] = []string{""} // an empty one was asked for
	}
	if _, ok := req.Header["Accept"]; !ok {
		req.Header.Set("Accept", "*/*")
	} else if req.Header.Get("Accept") == "" {
		req.Header.Del("Accept")
	}
	if h := req.Header.Get("Host"); h != "" {
		req.Host = h
	}
	return req, nil
}

// timedOut reports whether an exec ended for lack of time.
func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timed out") || isDeadline(err)
}
