package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/node/source"
)

// part is something that runs until ctx ends.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// apiSink takes the pods of the API server.
type apiSink struct{ a *Agent }

func (s apiSink) Set(p *v1.Pod) {
	s.a.statuses.Base(p.UID, p)
	s.a.workers.Set(p)
}

func (s apiSink) Remove(uid types.UID) {
	s.a.workers.Remove(uid)
	s.a.metrics.forget(string(uid))
}

func (s apiSink) Synced() {
	s.a.mirrors.Synced()
	s.a.spoke()
}

// staticSink takes the pods of the node's own sources.
type staticSink struct{ a *Agent }

func (s staticSink) Set(p *v1.Pod) {
	if s.a.mirrors != nil {
		s.a.mirrors.SetStatic(p)
	}
	s.a.workers.Set(p)
}

func (s staticSink) Remove(uid types.UID) {
	s.a.workers.Remove(uid)
	s.a.metrics.forget(string(uid))
	if s.a.mirrors != nil {
		s.a.mirrors.RemoveStatic(uid)
	}
}

func (s staticSink) Synced() { s.a.spoke() }

// spoke notes that one source has named all its pods. After the last one, pods
// that none of them named are ended.
func (a *Agent) spoke() {
	if a.sources.Add(-1) == 0 {
		a.askRelist()
	}
}

// sourceParts makes the configured sources.
func (a *Agent) sourceParts() ([]part, error) {
	k := &a.cfg.Kubelet
	var parts []part
	add := func(name string, run func(context.Context) error) {
		a.sources.Add(1)
		parts = append(parts, part{name, run})
	}
	if a.cfg.Client != nil {
		a.mirrors = source.NewMirrors(a.cfg.Client, a.registrar.Node, a.statuses.Base, a.log)
		parts = append(parts, part{"mirror pods", a.mirrors.Run})
		api := &source.API{Client: a.cfg.Client, NodeName: a.cfg.NodeName, Sink: apiSink{a}, Mirror: a.mirrors.SetMirror, Log: a.log}
		add("api source", func(ctx context.Context) error { api.Run(ctx); return nil })
	}
	if k.StaticPodPath != "" {
		f := &source.File{
			Path: k.StaticPodPath, Every: k.FileCheckFrequency.Duration, Sink: staticSink{a}, Log: a.log,
			Static: source.Static{NodeName: a.cfg.NodeName, From: source.FromFile},
		}
		add("file source", f.Run)
	}
	if k.StaticPodURL != "" {
		u := &source.URL{
			URL: k.StaticPodURL, Header: http.Header(k.StaticPodURLHeader), Every: k.HTTPCheckFrequency.Duration, Sink: staticSink{a}, Log: a.log,
			Static: source.Static{NodeName: a.cfg.NodeName, From: source.FromURL},
		}
		add("url source", u.Run)
	}
	if a.cfg.PushSocket != "" {
		l, err := listenUnix(a.cfg.PushSocket)
		if err != nil {
			return nil, fmt.Errorf("open the push socket: %w", err)
		}
		p := &source.Push{
			Dir: filepath.Join(a.cfg.Root, "pushed-pods"), Sink: staticSink{a}, Log: a.log,
			Static: source.Static{NodeName: a.cfg.NodeName, From: source.FromPush},
		}
		add("push source", func(ctx context.Context) error {
			if err := p.Load(); err != nil {
				a.log.Error("pods pushed earlier are not available", "error", err)
			}
			return serveHTTP(ctx, l, p)
		})
	}
	a.spoke() // for what New counted: all sources are known now
	return parts, nil
}

// listenUnix opens a unix socket for root alone, in place of one left over.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s exists and is no socket", path)
		}
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%s is in use by another process", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
