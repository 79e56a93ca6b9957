package cache_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"proa/cache"
	"proa/resource"
	"proa/store"
)

// lock is a transformer that opens nothing before it has its key, and is slow in
// finding that out.
type lock struct {
	key   atomic.Bool
	delay time.Duration
}

var sealed = []byte("sealed:")

func (*lock) Active() bool { return true }

func (*lock) ToStore(_ context.Context, _ string, plain []byte) ([]byte, error) {
	return append(bytes.Clone(sealed), plain...), nil
}

func (l *lock) FromStore(_ context.Context, _ string, stored []byte) ([]byte, bool, error) {
	key := l.key.Load()
	time.Sleep(l.delay)
	if plain, ok := bytes.CutPrefix(stored, sealed); ok && key {
		return plain, false, nil
	}
	return nil, false, errors.New("no key")
}

// TestReread: a key that comes while values are being read without it, at the load
// of a cache or from the watch, is not missed.
func TestReread(t *testing.T) {
	t.Parallel()
	for _, during := range []string{"load", "event", "rest"} {
		synctest.Test(t, func(t *testing.T) {
			s := newMemory(t)
			l := &lock{delay: time.Second}
			h := start(t, s, cache.Options{Transformer: func(*resource.Definition) cache.Transformer { return l }})
			pods := h.Cache(podDef())
			ctx := t.Context()
			write := func() {
				plain := must[[]byte](t)(pods.Encode(pod("ns", "a", "n")))
				must[store.KV](t)(s.Create(ctx, "/registry/pods/ns/a", append(bytes.Clone(sealed), plain...), 0))
			}
			if during == "load" {
				write()
				h.Warm(pods.Definition)
			} else {
				if err := pods.Wait(ctx); err != nil {
					t.Fatal(err)
				}
				write()
			}
			wait := l.delay / 2 // the value is being read
			if during == "rest" {
				wait = time.Minute
			}
			time.Sleep(wait)
			l.key.Store(true)
			h.Reread()
			time.Sleep(time.Minute)
			if e, _, err := pods.Get(ctx, "ns", "a", cache.Any, 0); err != nil || e.Object == nil {
				t.Errorf("during %s: %v", during, err)
			}
		})
	}
}
