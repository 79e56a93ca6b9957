package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/backend"
	"proa/apiserver/connect"
)

func (s *streams) logs(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	o := c.Options.(*corev1.PodLogOptions)
	u, err := s.containerPath(r, c, "containerLogs", o.Container)
	if err != nil {
		return err
	}
	u.RawQuery = logQuery(o).Encode()
	if isWebSocket(r) {
		return s.logSocket(w, r, u, c.Name)
	}
	return s.pass(w, r, u, s.node, func(resp *http.Response) error { return logRefusal(resp, c.Name) })
}

// maxRefusal bounds what is read of an answer that refuses.
const maxRefusal = 10 << 10

// logRefusal turns the plain text in which an agent says why there is no log
// into a Status, which is what clients show.
func logRefusal(resp *http.Response, pod string) error {
	if resp.StatusCode >= http.StatusOK && resp.StatusCode <= http.StatusPartialContent {
		return nil
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return errRedirect
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	var refusal *apierrors.StatusError
	switch text := strings.TrimSuffix(string(b), "\n"); resp.StatusCode {
	case http.StatusInternalServerError:
		refusal = apierrors.NewInternalError(errors.New(text))
	case http.StatusBadRequest:
		refusal = apierrors.NewBadRequest(text)
	default:
		refusal = apierrors.NewGenericServerResponse(resp.StatusCode, "", corev1.Resource("pods/log"), pod, text, 0, false)
	}
	status := refusal.Status()
	body, err := json.Marshal(encodable(&status))
	if err != nil {
		return fmt.Errorf("encode a status: %w", err)
	}
	resp.Header = http.Header{"Content-Type": {"application/json"}}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return nil
}

func (s *streams) exec(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	o := c.Options.(*corev1.PodExecOptions)
	u, err := s.containerPath(r, c, "exec", o.Container)
	if err != nil {
		return err
	}
	u.RawQuery = streamQuery(o.Stdin, o.Stdout, o.Stderr, o.TTY, o.Command).Encode()
	return s.toAgent(w, r, u)
}

func (s *streams) attach(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	o := c.Options.(*corev1.PodAttachOptions)
	u, err := s.containerPath(r, c, "attach", o.Container)
	if err != nil {
		return err
	}
	u.RawQuery = streamQuery(o.Stdin, o.Stdout, o.Stderr, o.TTY, nil).Encode()
	return s.toAgent(w, r, u)
}

func (s *streams) portForward(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	pod, err := s.objects.Pod(r.Context(), c.Namespace, c.Name)
	if err != nil {
		return err
	}
	u, err := s.agentOfPod(r.Context(), pod)
	if err != nil {
		return err
	}
	u.Path = fmt.Sprintf("/portForward/%s/%s", pod.Namespace, pod.Name)
	q := url.Values{}
	for _, p := range c.Options.(*corev1.PodPortForwardOptions).Ports {
		q.Add("port", fmt.Sprint(p))
	}
	u.RawQuery = q.Encode()
	return s.toAgent(w, r, u)
}

// containerPath is the URL of a container at its node agent.
func (s *streams) containerPath(r *http.Request, c *connect.Stream, verb, container string) (*url.URL, error) {
	pod, err := s.objects.Pod(r.Context(), c.Namespace, c.Name)
	if err != nil {
		return nil, err
	}
	name, err := containerOf(pod, container)
	if err != nil {
		return nil, err
	}
	u, err := s.agentOfPod(r.Context(), pod)
	if err != nil {
		return nil, err
	}
	u.Path = fmt.Sprintf("/%s/%s/%s/%s", verb, pod.Namespace, pod.Name, name)
	return u, nil
}

func (s *streams) proxyPod(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	u, err := s.locatePod(r.Context(), c.Namespace, c.Name)
	if err != nil {
		return err
	}
	return s.toWorkload(w, r, u, c)
}

func (s *streams) proxyService(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	u, err := s.locateService(r.Context(), c.Namespace, c.Name)
	if err != nil {
		return err
	}
	return s.toWorkload(w, r, u, c)
}

func (s *streams) proxyNode(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
	u, agent, err := s.locateNode(r.Context(), c.Name)
	if err != nil {
		return err
	}
	if !agent {
		return s.toWorkload(w, r, u, c)
	}
	if toRoot(w, r, c) {
		return nil
	}
	u.Path, u.RawQuery = proxiedPath(c), r.URL.RawQuery
	return s.toAgent(w, r, u)
}

// proxiedPath is what follows ".../proxy" in the request. The router has
// refused paths with "..".
func proxiedPath(c *connect.Stream) string {
	return "/" + strings.TrimPrefix(c.Rest, "/")
}

// toRoot sends a reader of ".../proxy" to ".../proxy/", without which relative
// links of the page lead beside it.
func toRoot(w http.ResponseWriter, r *http.Request, c *connect.Stream) bool {
	if c.Rest != "" || isUpgrade(r) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	u := url.URL{Path: r.URL.Path + "/", RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusMovedPermanently)
	return true
}

// toAgent passes a request to a node agent, which is ours to authenticate to:
// nothing of the client's credentials goes with it.
func (s *streams) toAgent(w http.ResponseWriter, r *http.Request, u *url.URL) error {
	return s.pass(w, r, u, s.node, func(resp *http.Response) error {
		if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
			return errRedirect
		}
		return nil
	})
}

// toWorkload passes a request to a pod or service; redirects and links within it
// lead back through this server.
func (s *streams) toWorkload(w http.ResponseWriter, r *http.Request, u *url.URL, c *connect.Stream) error {
	if toRoot(w, r, c) {
		return nil
	}
	u.Path, u.RawQuery = proxiedPath(c), r.URL.RawQuery
	place := &place{backend: u.Host, server: r.Host, prefix: strings.TrimSuffix(r.URL.Path, c.Rest)}
	r.Header.Set("X-Forwarded-Uri", place.through(u.Path))
	return s.pass(w, r, u, s.pod, func(resp *http.Response) error {
		if isUpgrade(r) && resp.StatusCode >= 300 && resp.StatusCode < 400 {
			return errRedirect
		}
		return place.rewrite(resp)
	})
}

var errRedirect = errors.New("the backend attempted to redirect this request, which is not permitted")

func isUpgrade(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// pass proxies one request, with an upgrade if the client asks for one. Go's
// reverse proxy hijacks the client only after the backend has answered 101;
// any other answer is an ordinary response.
func (s *streams) pass(w http.ResponseWriter, r *http.Request, u *url.URL, t http.RoundTripper, check func(*http.Response) error) error {
	p := &httputil.ReverseProxy{
		Transport:     t,
		FlushInterval: -1, // logs are followed as they come
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = u
			pr.Out.Host = u.Host
			backend.DropCredentials(pr.Out.Header)
		},
		ModifyResponse: check,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.refuse(w, r, u, err)
		},
	}
	p.ServeHTTP(w, r)
	return nil
}

// refuse answers for a backend that could not be reached, or answered badly.
func (s *streams) refuse(w http.ResponseWriter, r *http.Request, u *url.URL, err error) {
	if r.Context().Err() != nil {
		return
	}
	status := apierrors.NewInternalError(fmt.Errorf("error dialing backend: %w", err)).Status()
	switch {
	case errors.Is(err, errRedirect):
		status.Code, status.Reason, status.Message = http.StatusBadGateway, metav1.StatusReasonInternalError, err.Error()
	case !isUpgrade(r):
		status = apierrors.NewServiceUnavailable(fmt.Sprintf("error trying to reach service: %v", err)).Status()
	}
	s.log.Warn("a connection could not be passed on", "to", u.Host, "err", err)
	writeStatus(w, &status)
}
