package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"proa/store"
)

// backend is an etcd that can be used.
type backend struct {
	client *clientv3.Client
	// revision returns the present revision without asking anybody, where this
	// process is the only member and so cannot be behind. Nil otherwise.
	revision func() int64
	snapshot func(context.Context, io.Writer) error
	failed   <-chan struct{}
	err      func() error
	close    func() error
}

// Store is etcd as a store.Store.
type Store struct {
	backend
	o      Options
	leases leases
	reads  []clientv3.OpOption // for linearizable reads

	compacted revision

	closed atomic.Bool
	end    context.CancelFunc
	work   sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open starts or connects to an etcd and returns once it answers. Its errors
// are one line that says what is wrong and what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.complete()
	var b backend
	var err error
	if len(o.Servers) > 0 {
		b, err = connect(ctx, o)
	} else {
		b, err = embedded(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{backend: b, o: o}
	s.leases = newLeases(b.client.Lease, time.Now)
	if b.revision != nil {
		s.reads = append(s.reads, clientv3.WithSerializable())
	}
	background, end := context.WithCancel(context.Background())
	s.end = end
	if o.CompactInterval > 0 {
		s.work.Go(func() { s.compactor().run(background) })
	}
	return s, nil
}

// Failed is closed when an embedded etcd can no longer work. It is never
// closed by Close.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err says why Failed was closed.
func (s *Store) Err() error { return s.err() }

// check refuses operations on a store that has failed or was closed.
func (s *Store) check() error {
	select {
	case <-s.failed:
		return fmt.Errorf("%w: %w", store.ErrClosed, s.err())
	default:
	}
	if s.closed.Load() {
		return store.ErrClosed
	}
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	if err := s.check(); err != nil {
		return store.KV{}, 0, err
	}
	r, err := s.client.KV.Get(ctx, key, s.reads...)
	if err != nil {
		return store.KV{}, 0, readError("get "+key, err)
	}
	if len(r.Kvs) == 0 {
		return store.KV{}, r.Header.Revision, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return keyValue(r.Kvs[0]), r.Header.Revision, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, o store.ListOptions) (store.ListResult, error) {
	if err := s.check(); err != nil {
		return store.ListResult{}, err
	}
	from := prefix
	if after := o.After + "\x00"; o.After != "" && after > from {
		from = after
	}
	end := clientv3.GetPrefixRangeEnd(prefix)
	if from >= end && end != "\x00" {
		// Past the last key there can be; etcd would take it for an error.
		rev, err := s.Revision(ctx)
		if o.Revision > 0 {
			rev = o.Revision
		}
		return store.ListResult{Revision: rev}, err
	}
	opts := append([]clientv3.OpOption{
		clientv3.WithRange(end), clientv3.WithRev(o.Revision), clientv3.WithLimit(o.Limit),
	}, s.reads...)
	if o.CountOnly {
		opts = append(opts, clientv3.WithCountOnly())
	}
	r, err := s.client.KV.Get(ctx, from, opts...)
	if err != nil {
		return store.ListResult{}, readError("list "+prefix, err)
	}
	res := store.ListResult{Revision: r.Header.Revision, Count: r.Count}
	if o.Revision > 0 {
		res.Revision = o.Revision
	}
	if len(r.Kvs) > 0 {
		res.KVs = make([]store.KV, len(r.Kvs))
		for i, kv := range r.Kvs {
			res.KVs[i] = keyValue(kv)
		}
	}
	return res, nil
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (store.KV, error) {
	kv, done, err := s.put(ctx, "create", key, value, 0, ttl)
	if err == nil && !done {
		return kv, fmt.Errorf("%w: %s", store.ErrExists, key)
	}
	return kv, err
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, key string, value []byte, rev int64, ttl time.Duration) (store.KV, error) {
	if rev == 0 {
		rev = never
	}
	kv, done, err := s.put(ctx, "update", key, value, rev, ttl)
	if err == nil && !done {
		return kv, changed(kv, key, rev)
	}
	return kv, err
}

// never is a revision that no key is at. A transaction that expects it finds
// what there is.
const never = -1

// put writes the value if the key is still at rev (0: missing). Otherwise done
// is false, and the present value is returned.
func (s *Store) put(ctx context.Context, verb, key string, value []byte, rev int64, ttl time.Duration) (kv store.KV, done bool, err error) {
	if err := s.check(); err != nil {
		return store.KV{}, false, err
	}
	r, err := s.txnPut(ctx, key, value, rev, ttl)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.leases.forget(ttl) // somebody revoked it
		r, err = s.txnPut(ctx, key, value, rev, ttl)
	}
	if err != nil {
		return store.KV{}, false, writeError(ctx, verb+" "+key, err)
	}
	if !r.Succeeded {
		return present(r), false, nil
	}
	kv = store.KV{Key: key, Value: value, ModRevision: r.Header.Revision}
	if rev == 0 {
		kv.CreateRevision = kv.ModRevision
	}
	return kv, true, nil
}

func (s *Store) txnPut(ctx context.Context, key string, value []byte, rev int64, ttl time.Duration) (*clientv3.TxnResponse, error) {
	var opts []clientv3.OpOption
	if ttl > 0 {
		id, err := s.leases.get(ctx, ttl)
		if err != nil {
			return nil, err
		}
		opts = append(opts, clientv3.WithLease(id))
	}
	return s.client.KV.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).
		Then(clientv3.OpPut(key, string(value), opts...)).
		Else(clientv3.OpGet(key)).
		Commit()
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, rev int64) (store.KV, error) {
	if err := s.check(); err != nil {
		return store.KV{}, err
	}
	if rev == 0 {
		rev = never
	}
	r, err := s.client.KV.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).
		Then(clientv3.OpDelete(key)).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return store.KV{}, writeError(ctx, "delete "+key, err)
	}
	if !r.Succeeded {
		kv := present(r)
		return kv, changed(kv, key, rev)
	}
	return store.KV{Key: key, ModRevision: r.Header.Revision}, nil
}

// changed says why a key was not at rev.
func changed(kv store.KV, key string, rev int64) error {
	if kv.ModRevision == 0 {
		return fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return fmt.Errorf("%w: %s is at %d, not %d", store.ErrConflict, key, kv.ModRevision, rev)
}

// Revision implements store.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if s.revision != nil {
		return s.revision(), ctx.Err()
	}
	// Any linearizable read tells the revision; this one returns nothing else.
	r, err := s.client.KV.Get(ctx, compactKey, clientv3.WithCountOnly())
	if err != nil {
		return 0, readError("read the revision", err)
	}
	return r.Header.Revision, nil
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, rev int64) error {
	if err := s.check(); err != nil {
		return err
	}
	if _, err := s.client.KV.Compact(ctx, rev); err != nil {
		return readError(fmt.Sprintf("compact at %d", rev), err)
	}
	s.compacted.raise(rev)
	return nil
}

// Compacted implements store.Store.
func (s *Store) Compacted() int64 { return s.compacted.Load() }

// Snapshot implements store.Store. What is written is a snapshot file as
// etcdctl makes it, which etcdutl restores.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := s.snapshot(ctx, w); err != nil {
		return readError("snapshot", err)
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.end()
	s.work.Wait()
	return s.close()
}
