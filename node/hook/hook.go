package hook

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/probe"
)

// maxBody bounds what is read of an HTTP hook's answer.
const maxBody = 10 << 10

// Runner runs hooks. It implements worker.Lifecycle.
type Runner struct {
	Exec probe.Execer
	// Version goes into the user agent ("1.36").
	Version string
}

// Run runs one hook and returns when it has ended, or with ctx. An error says
// that the hook failed, in words fit for an event.
func (r *Runner) Run(ctx context.Context, p *v1.Pod, c *v1.Container, containerID, podIP string, h *v1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		// A hook has no time limit of its own; ctx is the only one.
		stdout, stderr, err := r.Exec.ExecSync(ctx, containerID, h.Exec.Command, 0)
		if err != nil {
			return fmt.Errorf("command %q exited: %w, message: %q", h.Exec.Command, err, append(stdout, stderr...))
		}
		return nil
	case h.HTTPGet != nil:
		return r.http(ctx, p, c, podIP, h.HTTPGet)
	case h.Sleep != nil:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(h.Sleep.Seconds) * time.Second):
			return nil
		}
	}
	// tcpSocket was never implemented as a hook; pods that carry it are told so.
	return fmt.Errorf("invalid handler: %v", h)
}

// http makes the request. A server that answers HTTPS requests with HTTP gets a
// second one without TLS, as such hooks used to be sent.
func (r *Runner) http(ctx context.Context, p *v1.Pod, c *v1.Container, podIP string, a *v1.HTTPGetAction) error {
	req, err := probe.NewRequest(ctx, c, podIP, a, "kube-lifecycle/"+r.Version)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
		Proxy:             nil,
	}}
	resp, err := client.Do(req)
	if err != nil && req.URL.Scheme == "https" && ctx.Err() == nil && isPlainHTTP(err) {
		again := req.Clone(ctx)
		again.URL.Scheme = "http"
		again.Header.Del("Authorization")
		resp, err = client.Do(again)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	return err
}

func isPlainHTTP(err error) bool {
	return err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}
