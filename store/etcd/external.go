package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Keepalive as upstream's API server has it: a dead server is noticed within
// half a minute.
const (
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// connect connects to an external etcd and waits for its first answer.
func connect(ctx context.Context, o Options) (backend, error) {
	fail := &failure{c: make(chan struct{})}
	cfg := clientv3.Config{
		Context:              context.Background(),
		Endpoints:            o.Servers,
		DialTimeout:          o.DialTimeout,
		DialKeepAliveTime:    keepaliveTime,
		DialKeepAliveTimeout: keepaliveTimeout,
		Logger:               zapLogger(o.Log, func(message string) { fail.set(fmt.Errorf("etcd client: %s", message)) }),
	}
	if o.CertFile != "" || o.KeyFile != "" || o.CAFile != "" {
		t, err := tlsConfig(o)
		if err != nil {
			return backend{}, err
		}
		cfg.TLS = t
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return backend{}, unreachable(o, err)
	}
	try, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	if _, err := client.Get(try, compactKey, clientv3.WithCountOnly()); err != nil {
		_ = client.Close() // the error at hand matters more
		return backend{}, unreachable(o, err)
	}
	b := backend{client: client, failed: fail.c, err: fail.get, close: client.Close}
	b.snapshot = func(ctx context.Context, w io.Writer) error {
		r, err := client.Snapshot(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }() // it was only read
		_, err = io.Copy(w, r)
		return err
	}
	return b, nil
}

func tlsConfig(o Options) (*tls.Config, error) {
	info := transport.TLSInfo{CertFile: o.CertFile, KeyFile: o.KeyFile, TrustedCAFile: o.CAFile}
	t, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("TLS files for etcd (certificate %q, key %q, CA %q) cannot be used: %w", o.CertFile, o.KeyFile, o.CAFile, err)
	}
	return t, nil
}

func unreachable(o Options, err error) error {
	return fmt.Errorf("etcd at %s does not answer: check its address, its certificates and that it runs: %w",
		strings.Join(o.Servers, ", "), readError("connect", err))
}
