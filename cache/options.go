package cache

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"proa/resource"
)

// Codec turns objects into stored bytes and back. It must be safe for
// concurrent use.
type Codec interface {
	// Encode returns the stored form of obj, without its resource version. It
	// does not change what obj says.
	Encode(def *resource.Definition, obj resource.Object) ([]byte, error)
	// Decode returns the object of stored bytes, which may remain parts of it.
	Decode(def *resource.Definition, data []byte) (resource.Object, error)
	// Share returns a copy of obj as Decode would return it, which may share
	// all memory that obj refers to. Stored is what Encode has returned for obj.
	Share(def *resource.Definition, obj resource.Object, stored []byte) resource.Object
}

// Transformer changes encoded bytes on their way to and from the store, for
// encryption at rest. The key must be authenticated with the value.
type Transformer interface {
	// Active is false where both methods return what they are given, at present.
	Active() bool
	ToStore(ctx context.Context, key string, plain []byte) ([]byte, error)
	// FromStore says with stale that the value should be written again. What it
	// cannot read is corrupt, until [Hub.Reread].
	FromStore(ctx context.Context, key string, stored []byte) (plain []byte, stale bool, err error)
}

// Options of a [Hub]. The zero value has sensible defaults.
type Options struct {
	Log *slog.Logger
	// Now is the clock that ages the event log; time.Now unless set.
	Now func() time.Time
	// Rand returns a number in [0,1) that spreads bookmarks; rand.Float64
	// unless set.
	Rand func() float64
	// Transformer returns how values of a resource are transformed; nil, or a
	// nil result, means not at all.
	Transformer func(*resource.Definition) Transformer
	// LogEvents, LogBytes and LogAge bound the event log of one resource. The
	// bytes are an estimate of the replaced objects that the log keeps alive.
	// (32768 events, 16 MiB, 5 minutes; at least 128 events stay whatever
	// their age.)
	LogEvents int
	LogBytes  int64
	LogAge    time.Duration
	// WatchLag is how many events, and WatchLagBytes how much memory by the
	// estimate of LogBytes, a watch may be behind before it is cut (16384, and
	// 64 MiB).
	WatchLag      int
	WatchLagBytes int64
	// BookmarkInterval is the mean time between bookmarks (1 minute).
	BookmarkInterval time.Duration
	// WaitTimeout bounds the waiting for a revision (3 seconds).
	WaitTimeout time.Duration
	// EncodingBytes bounds the memory of cached wire forms over all resources
	// (32 MiB).
	EncodingBytes int64
	// InternParts is about how many strings, and how many other parts of
	// objects, are remembered so that equal ones are shared (16384; negative:
	// none).
	InternParts int
	// Guard is how many objects that were replaced or removed are kept, so that
	// [Hub.Mutated] sees whether somebody changed them in place. It costs their
	// memory and an encoding of each, and is meant for tests (none, but 4096 in
	// programs built with the race detector, which log what they find when they
	// end).
	Guard int
}

func (o Options) complete() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Transformer == nil {
		o.Transformer = func(*resource.Definition) Transformer { return nil }
	}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def64 := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	defTime := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.LogEvents, 32768)
	def64(&o.LogBytes, 16<<20)
	defTime(&o.LogAge, 5*time.Minute)
	def(&o.WatchLag, 16384)
	def64(&o.WatchLagBytes, 64<<20)
	defTime(&o.BookmarkInterval, time.Minute)
	defTime(&o.WaitTimeout, 3*time.Second)
	def64(&o.EncodingBytes, 32<<20)
	def(&o.InternParts, 16384)
	def(&o.Guard, guarded)
	return o
}
