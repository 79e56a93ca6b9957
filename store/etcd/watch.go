package etcd

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"proa/store"
)

// watch is a watch on a stream of its own.
type watch struct {
	ctx    context.Context // names the stream for the client
	stop   context.CancelFunc
	client *clientv3.Client
	prefix string
	c      clientv3.WatchChan
	rev    int64 // delivered
	failed <-chan struct{}
}

// streams numbers the streams of a process. The client shares one stream among
// watches whose contexts carry the same metadata; progress of a shared stream
// would wait for the slowest of them.
var streams atomic.Int64

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) (store.Watch, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	ctx = metadata.AppendToOutgoingContext(ctx, "watch", strconv.FormatInt(streams.Add(1), 10))
	if s.revision == nil {
		ctx = clientv3.WithRequireLeader(ctx)
	}
	c := s.client.Watcher.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1), clientv3.WithProgressNotify())
	return &watch{ctx: ctx, stop: stop, client: s.client, prefix: prefix, c: c, rev: after, failed: s.failed}, nil
}

// Next implements store.Watch.
func (w *watch) Next(ctx context.Context) (store.Batch, error) {
	for {
		select {
		case r, ok := <-w.c:
			if !ok {
				if err := w.ctx.Err(); err != nil {
					return store.Batch{}, err
				}
				return store.Batch{}, fmt.Errorf("watch %s: %w: the stream was cut", w.prefix, store.ErrUnavailable)
			}
			if err := r.Err(); err != nil {
				return store.Batch{}, readError("watch "+w.prefix, err)
			}
			if b, ok := w.batch(r); ok {
				return b, nil
			}
		case <-w.failed:
			return store.Batch{}, store.ErrClosed
		case <-ctx.Done():
			return store.Batch{}, ctx.Err()
		}
	}
}

// batch converts what the client delivered; ok is false where it says nothing.
func (w *watch) batch(r clientv3.WatchResponse) (b store.Batch, ok bool) {
	if len(r.Events) == 0 {
		if !r.IsProgressNotify() {
			return b, false
		}
		w.rev = max(w.rev, r.Header.Revision)
		return store.Batch{Revision: w.rev}, true
	}
	b.Events = make([]store.Event, len(r.Events))
	for i, ev := range r.Events {
		b.Events[i] = event(ev)
	}
	// The header's revision may be ahead of events that are still to come.
	w.rev = max(w.rev, b.Events[len(b.Events)-1].KV.ModRevision)
	b.Revision = w.rev
	return b, true
}

// Progress implements store.Watch.
func (w *watch) Progress(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.client.Watcher.RequestProgress(w.ctx); err != nil {
		return readError("progress of watch "+w.prefix, err)
	}
	return nil
}

// Stop implements store.Watch.
func (w *watch) Stop() { w.stop() }
