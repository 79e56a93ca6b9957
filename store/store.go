package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// Store is a revisioned key-value store. All methods are safe for concurrent
// use, return when their context ends, and wrap the errors of this package.
type Store interface {
	// Get returns the present value, linearizably, and the store's revision at
	// that moment (also with ErrNotFound).
	Get(ctx context.Context, key string) (KV, int64, error)

	// List returns keys with the prefix in ascending order, as of one revision.
	List(ctx context.Context, prefix string, o ListOptions) (ListResult, error)

	// Create stores a value under a key that must not exist. Where it does,
	// it returns the present one with ErrExists.
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) (KV, error)

	// Update replaces the value if the key's ModRevision is still rev. Where
	// it is not, it returns the present one with ErrConflict, or ErrNotFound.
	Update(ctx context.Context, key string, value []byte, rev int64, ttl time.Duration) (KV, error)

	// Delete removes the key if its ModRevision is still rev, and returns the
	// revision of the removal as ModRevision of the result, whose value is
	// empty. Errors as for Update.
	Delete(ctx context.Context, key string, rev int64) (KV, error)

	// Watch delivers every change to keys with the prefix after revision
	// after, until ctx ends or Stop. That after is older than the store
	// remembers may be told by Watch or by the first Next, with ErrCompacted.
	Watch(ctx context.Context, prefix string, after int64) (Watch, error)

	// Revision returns the present revision, linearizably.
	Revision(ctx context.Context) (int64, error)

	// Compact forgets what was before rev.
	Compact(ctx context.Context, rev int64) error

	// Compacted returns the revision before which history is forgotten, as far
	// as is known here without asking: a compaction by another server is
	// learned of some time later. 0 while none is known.
	Compacted() int64

	// Snapshot writes a consistent backup of the whole store.
	Snapshot(ctx context.Context, w io.Writer) error

	// Close ends all watches and releases the store.
	Close() error
}

// KV is a key with its value. Value must not be changed.
type KV struct {
	Key         string
	Value       []byte
	ModRevision int64
	// CreateRevision is 0 in what an Update or a Delete returns without error,
	// and in events of removal.
	CreateRevision int64
}

// ListOptions narrow a List.
type ListOptions struct {
	// Revision to read at, 0 for the present, linearizably. ErrCompacted where
	// it is forgotten, ErrFuture where it has not come yet.
	Revision int64
	// After is the key after which to begin; it need not exist.
	After string
	// Limit is the largest number of keys to return, 0 for all.
	Limit int64
	// CountOnly leaves KVs empty.
	CountOnly bool
}

// ListResult is the answer to a List.
type ListResult struct {
	KVs []KV
	// Revision as of which the list is true.
	Revision int64
	// Count of all keys with the prefix after After, whatever the limit.
	Count int64
}

// Event is one change.
type Event struct {
	// Deleted: KV.Value is empty and KV.ModRevision the revision of removal.
	Deleted bool
	// Created: the key did not exist before.
	Created bool
	KV      KV
}

// Batch is a group of events of ascending revision, or only progress.
type Batch struct {
	Events []Event
	// Revision up to which the watch has now delivered everything.
	Revision int64
}

// Watch is a running watch. Next is for one goroutine at a time; the other
// methods may be called from any.
type Watch interface {
	// Next waits for what comes next. An error other than that of ctx ends the
	// watch: ErrCompacted where revisions not yet delivered were forgotten,
	// ErrUnavailable where the stream was cut; a new Watch after the last
	// Batch.Revision then goes on without a gap.
	Next(ctx context.Context) (Batch, error)
	// Progress asks for a Batch (maybe without events) that says how far the
	// watch is; it comes soon, at or past the store's revision at the call.
	Progress(ctx context.Context) error
	// Stop ends the watch; Next then fails.
	Stop()
}

// Errors that callers ask for with errors.Is.
var (
	ErrNotFound  = errors.New("key not found")
	ErrExists    = errors.New("key exists")
	ErrConflict  = errors.New("key was changed by another write")
	ErrCompacted = errors.New("revision has been compacted")
	ErrFuture    = errors.New("revision has not been reached yet")
	// ErrUncertain: the store was asked to write and did not answer in time;
	// the write may or may not have happened.
	ErrUncertain = errors.New("outcome of the write is unknown")
	// ErrUnavailable: the store did nothing and may be asked again.
	ErrUnavailable = errors.New("store is not available")
	// ErrNoSpace: the disk or the quota is full.
	ErrNoSpace = errors.New("store has no space left")
	// ErrTooLarge: the value exceeds the store's limit (1.5 MiB in etcd).
	ErrTooLarge = errors.New("value is too large for the store")
	// ErrClosed: the store was closed, or has failed for good.
	ErrClosed = errors.New("store is closed")
)
