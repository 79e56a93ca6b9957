package etcd

import (
	"context"
	"crypto/sha256"
	"errors"
	"expvar"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

const (
	// A lone member has nobody to send heartbeats to, so that its clock only
	// costs wake-ups. It does not wait for it to be elected either.
	tick = 500 * time.Millisecond
	// batchInterval is how often the database is written. Every write is
	// durable in the log long before; this only bounds what is replayed after
	// a crash, and how worn the disk gets.
	batchInterval = time.Second
	batchLimit    = 10000
	// snapshotCount bounds the log entries that are replayed at a start.
	// snapshotCatchUp, the entries that stay in memory behind the last one, must
	// exceed them: the election at a start looks at all entries that are being
	// replayed, and etcd may already be dropping the first of them.
	snapshotCount   = 1000
	snapshotCatchUp = 3 * snapshotCount
	// maxRequest is upstream's limit of one write.
	maxRequest = 1.5 * 1024 * 1024
	// closeTimeout bounds the end of a server that may have failed.
	closeTimeout = 10 * time.Second
)

// member is the name of the one member of an embedded cluster.
const member = "proa"

// failure is the first fatal error of an etcd.
type failure struct {
	once sync.Once
	c    chan struct{}
	err  error
}

func (f *failure) set(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.c)
	})
}

func (f *failure) get() error {
	select {
	case <-f.c:
		return f.err
	default:
		return nil
	}
}

// embedded starts an etcd in this process.
func embedded(ctx context.Context, o Options) (backend, error) {
	if o.Dir == "" {
		return backend{}, errors.New("no data directory was given")
	}
	path, err := filepath.Abs(o.Dir)
	if err != nil {
		return backend{}, err
	}
	d, err := openDir(path)
	if err != nil {
		return backend{}, err
	}
	b, err := startEtcd(ctx, d, o)
	if err != nil {
		_ = d.close() // the error at hand matters more
		return backend{}, err
	}
	return b, nil
}

func startEtcd(ctx context.Context, d *dir, o Options) (backend, error) {
	fail := &failure{c: make(chan struct{})}
	cfg, err := config(d.path, o, fail)
	if err != nil {
		return backend{}, err
	}
	// In a goroutine of its own, which a fatal error ends.
	type result struct {
		e   *embed.Etcd
		err error
	}
	started := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				started <- result{err: fmt.Errorf("%w: %v", errDamaged, p)}
			}
		}()
		e, err := embed.StartEtcd(cfg)
		started <- result{e, err}
	}()
	var e *embed.Etcd
	select {
	case r := <-started:
		if r.err != nil {
			return backend{}, openError(d.path, r.err)
		}
		e = r.e
	case <-fail.c:
		return backend{}, openError(d.path, fail.err)
	}
	if err := elect(ctx, e, fail); err != nil {
		closeEtcd(e)
		return backend{}, openError(d.path, err)
	}
	client := v3client.New(e.Server)
	b := backend{
		client:   client,
		snapshot: func(ctx context.Context, w io.Writer) error { return writeSnapshot(ctx, e, w) },
		failed:   fail.c,
		err:      fail.get,
		close: func() error {
			_ = client.Close() // it has no connection
			closeEtcd(e)
			return d.close()
		},
	}
	if len(e.Server.Cluster().Members()) == 1 {
		// All writes pass this process, and are applied before they are
		// acknowledged, so what is applied here is all that was acknowledged.
		b.revision = func() int64 { return e.Server.KV().Rev() }
	}
	return b, nil
}

func config(path string, o Options, fail *failure) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Name = member
	cfg.Dir = path
	cfg.ListenPeerUrls, cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil, nil
	for _, s := range o.ListenClients {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("listen address of etcd: %w", err)
		}
		cfg.ListenClientUrls = append(cfg.ListenClientUrls, *u)
	}
	// Where others would look for this member; it does not listen there, but
	// etcd wants names.
	if cfg.ListenClientUrls != nil {
		cfg.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "localhost:2379"}}
	}
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "localhost:2380"}}
	cfg.InitialCluster = cfg.InitialClusterFromName(member)
	// Only for the member's number to differ from those of other directories.
	cfg.InitialClusterToken = path
	cfg.TickMs = uint(tick / time.Millisecond)
	cfg.ElectionMs = 5 * cfg.TickMs
	cfg.BackendBatchInterval = batchInterval
	cfg.BackendBatchLimit = batchLimit
	cfg.SnapshotCount = snapshotCount
	cfg.SnapshotCatchUpEntries = snapshotCatchUp
	cfg.MaxSnapFiles, cfg.MaxWalFiles = 2, 2
	cfg.MaxRequestBytes = maxRequest
	cfg.QuotaBackendBytes = o.QuotaBytes
	cfg.AutoCompactionRetention = "0"
	cfg.EnableGRPCGateway = false
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(o.Log, func(message string) {
		fail.set(openError(path, errors.New(message)))
	}))
	return cfg, nil
}

// elect makes the lone member its own leader at once, rather than after an
// election timeout, and waits until it serves.
func elect(ctx context.Context, e *embed.Etcd, fail *failure) error {
	id := uint64(e.Server.MemberID())
	alone := len(e.Server.Cluster().Members()) <= 1
	wait := time.NewTicker(time.Millisecond)
	defer wait.Stop()
	for {
		select {
		case <-e.Server.ReadyNotify():
			return nil
		case err := <-e.Err():
			return err
		case <-fail.c:
			return fail.err
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
			if alone && e.Server.Leader() == 0 && replayed(e, id) {
				// As if the leader had handed over.
				_ = e.Server.Process(ctx, raftpb.Message{Type: raftpb.MsgTimeoutNow, To: id, From: id})
			}
		}
	}
}

// replayed reports that the consensus has taken note of everything in its log
// being applied. Before that it must not be asked to campaign: it would look
// through all entries since the last snapshot, of which etcd may have dropped
// the first, and panic. Where the answer cannot be had (the variable belongs to
// the etcd of this process that was started last) the election takes its time.
func replayed(e *embed.Etcd, id uint64) bool {
	f, ok := expvar.Get("raft.status").(expvar.Func)
	if !ok {
		return false
	}
	s, ok := f.Value().(raft.Status)
	return ok && s.ID == id && s.Applied > 0 && s.Applied >= e.Server.CommittedIndex()
}

// writeSnapshot writes the database and its checksum, which is the form that
// etcd's own tools expect.
func writeSnapshot(ctx context.Context, e *embed.Etcd, w io.Writer) error {
	snap := e.Server.Backend().Snapshot()
	defer func() { _ = snap.Close() }() // it was only read
	sum := sha256.New()
	if _, err := snap.WriteTo(io.MultiWriter(contextWriter{ctx, w}, sum)); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// contextWriter stops writing when its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}

// closeEtcd stops the server. One that has failed may hold a lock for ever,
// and is then left to the end of the process.
func closeEtcd(e *embed.Etcd) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Close()
	}()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
