package etcd

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"proa/store"
)

// compactKey is where API servers agree on who compacts. Its version counts
// the compactions: whoever raises it from what it was an interval ago may
// compact, and the others learn that somebody did. Upstream's servers use the
// same key in the same way.
const compactKey = "compact_rev_key"

// compactor forgets history every interval, up to where the store was an
// interval before.
type compactor struct {
	client    *clientv3.Client
	log       *slog.Logger
	interval  time.Duration
	compacted *revision

	version int64 // of compactKey, when last looked at
	rev     int64 // of the store then
}

func (s *Store) compactor() *compactor {
	return &compactor{client: s.client, log: s.o.Log, interval: s.o.CompactInterval, compacted: &s.compacted}
}

func (c *compactor) run(ctx context.Context) {
	t := time.NewTicker(c.interval)
	defer t.Stop()
	for {
		if err := c.step(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("history of the store was not compacted; trying again later", "retry", c.interval, "err", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// step compacts to what the last step saw, unless another server did
// meanwhile, and notes what there is now.
func (c *compactor) step(ctx context.Context) error {
	r, err := c.client.KV.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(compactKey), "=", c.version)).
		Then(clientv3.OpPut(compactKey, strconv.FormatInt(c.rev, 10))).
		Else(clientv3.OpGet(compactKey)).
		Commit()
	if err != nil {
		return writeError(ctx, "compact", err)
	}
	rev := c.rev
	c.rev = r.Header.Revision
	if !r.Succeeded {
		if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
			c.version = kvs[0].Version
			// Where this is no number, a reader learns from the store itself.
			if rev, err := strconv.ParseInt(string(kvs[0].Value), 10, 64); err == nil {
				c.compacted.raise(rev)
			}
		}
		return nil
	}
	c.version++
	if rev == 0 {
		return nil
	}
	if _, err := c.client.KV.Compact(ctx, rev); err != nil {
		if err := readError("compact", err); !errors.Is(err, store.ErrCompacted) {
			return err
		}
	}
	c.compacted.raise(rev)
	return nil
}

// revision is one that only rises, for concurrent use.
type revision struct{ atomic.Int64 }

func (r *revision) raise(to int64) {
	for {
		now := r.Load()
		if now >= to || r.CompareAndSwap(now, to) {
			return
		}
	}
}
