package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
)

// URL brings pods from manifests that an HTTP server gives.
type URL struct {
	URL    string
	Header http.Header
	Static Static
	Sink   Sink
	// Every is the pause between requests: HTTP tells nothing by itself.
	Every  time.Duration
	Client *http.Client
	Log    *slog.Logger
}

// Run asks until ctx ends. While the server fails, the pods stay as they are.
func (u *URL) Run(ctx context.Context) error {
	every := u.Every
	if every <= 0 {
		every = 20 * time.Second
	}
	client := u.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	k := &known{sink: u.Sink}
	var last []byte
	failures, spoken := 0, false
	for {
		data, err := u.get(ctx, client)
		if err == nil && (last == nil || !bytes.Equal(data, last)) {
			var pods []*v1.Pod
			if pods, err = u.decode(data); err == nil {
				k.replace(pods)
				last = data
			}
		}
		switch {
		case err == nil:
			failures = 0
			if !spoken {
				spoken = true
				u.Sink.Synced()
			}
		case ctx.Err() == nil:
			if failures++; failures <= 3 {
				u.Log.Warn("static pods cannot be read from the URL; will retry", "error", err, "in", every)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (u *URL) get(ctx context.Context, client *http.Client) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range u.Header {
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%v: %v", u.URL, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, errors.New("zero-length data received from " + u.URL)
	}
	return data, nil
}

func (u *URL) decode(data []byte) ([]*v1.Pod, error) {
	pods, err := u.Static.Decode(data, u.URL)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if err := u.Static.Prepare(p, u.URL); err != nil {
			return nil, err
		}
	}
	return pods, nil
}
