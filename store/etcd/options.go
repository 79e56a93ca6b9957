package etcd

import (
	"log/slog"
	"time"
)

// Options say which etcd to use.
type Options struct {
	// Dir is the data directory of an embedded etcd. It is made if missing.
	Dir string
	// Servers are the URLs of an external etcd, in place of an embedded one.
	Servers []string
	// CertFile, KeyFile and CAFile are for TLS to external servers.
	CertFile, KeyFile, CAFile string
	// DialTimeout bounds the first connection to external servers (5 s).
	DialTimeout time.Duration

	// QuotaBytes bounds the database of an embedded etcd (8 GiB).
	QuotaBytes int64
	// ListenClients are further URLs on which an embedded etcd serves its
	// clients, such as unix:///path. None by default.
	ListenClients []string

	// CompactInterval is how often history is compacted, and how much of it is
	// kept (5 minutes; negative: never).
	CompactInterval time.Duration

	Log *slog.Logger
}

func (o Options) complete() Options {
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.QuotaBytes == 0 {
		o.QuotaBytes = 8 << 30
	}
	if o.CompactInterval == 0 {
		o.CompactInterval = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
