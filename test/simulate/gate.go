package simulate

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"proa/store"
	"proa/store/memory"
)

// gate is the store as one process sees it. When the process dies, nothing of
// it gets through any more.
type gate struct {
	*memory.Store
	random *rand.Rand // under mu
	lag    time.Duration
	gaps   func(from, to int64)

	mu     sync.Mutex
	writes int // left until death; negative: no death is planned
	dead   bool
	died   chan struct{}
	lost   int64 // the revision after which the hub's watch was lost, or 0
}

// pass says whether an operation of the process still reaches the store, and,
// for a write, whether it is the last.
func (g *gate) pass(write bool) (last bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return false, store.ErrUnavailable
	}
	if write && g.writes > 0 {
		if g.writes--; g.writes == 0 {
			g.die()
			return true, nil
		}
	}
	return false, nil
}

// kill ends the process between two writes.
func (g *gate) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.die()
}

func (g *gate) die() {
	if !g.dead {
		g.dead = true
		close(g.died)
	}
}

func (g *gate) write(f func() (store.KV, error)) (store.KV, error) {
	last, err := g.pass(true)
	if err != nil {
		return store.KV{}, err
	}
	kv, err := f()
	if last {
		return store.KV{}, store.ErrUncertain
	}
	return kv, err
}

// Get implements store.Store.
func (g *gate) Get(ctx context.Context, key string) (store.KV, int64, error) {
	if _, err := g.pass(false); err != nil {
		return store.KV{}, 0, err
	}
	return g.Store.Get(ctx, key)
}

// List implements store.Store.
func (g *gate) List(ctx context.Context, prefix string, o store.ListOptions) (store.ListResult, error) {
	if _, err := g.pass(false); err != nil {
		return store.ListResult{}, err
	}
	return g.Store.List(ctx, prefix, o)
}

// Create implements store.Store.
func (g *gate) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (store.KV, error) {
	return g.write(func() (store.KV, error) { return g.Store.Create(ctx, key, value, ttl) })
}

// Update implements store.Store.
func (g *gate) Update(ctx context.Context, key string, value []byte, rev int64, ttl time.Duration) (store.KV, error) {
	return g.write(func() (store.KV, error) { return g.Store.Update(ctx, key, value, rev, ttl) })
}

// Delete implements store.Store.
func (g *gate) Delete(ctx context.Context, key string, rev int64) (store.KV, error) {
	return g.write(func() (store.KV, error) { return g.Store.Delete(ctx, key, rev) })
}

// Revision implements store.Store.
func (g *gate) Revision(ctx context.Context) (int64, error) {
	if _, err := g.pass(false); err != nil {
		return 0, err
	}
	return g.Store.Revision(ctx)
}

// Close implements store.Store; the store outlives its processes.
func (g *gate) Close() error { return nil }

// Watch implements store.Store.
func (g *gate) Watch(ctx context.Context, prefix string, after int64) (store.Watch, error) {
	if _, err := g.pass(false); err != nil {
		return nil, err
	}
	w, err := g.Store.Watch(ctx, prefix, after)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	if g.lost > 0 && after > g.lost {
		// What lies between was forgotten: the hub has listed instead.
		g.gaps(g.lost, after)
	}
	g.lost = 0
	g.mu.Unlock()
	return &lagging{Watch: w, gate: g, at: after}, nil
}

// lagging is a watch that is behind, and ends with the process.
type lagging struct {
	store.Watch
	gate *gate
	at   int64
}

// Next implements store.Watch.
func (w *lagging) Next(ctx context.Context) (store.Batch, error) {
	b, err := w.Watch.Next(ctx)
	if err != nil {
		w.gate.mu.Lock()
		w.gate.lost = w.at
		w.gate.mu.Unlock()
		return b, err
	}
	if d := w.gate.delay(); d > 0 {
		if err := sleep(ctx, d); err != nil {
			return store.Batch{}, err
		}
	}
	if _, err := w.gate.pass(false); err != nil {
		return store.Batch{}, err
	}
	w.at = b.Revision
	return b, nil
}

// delay is usually none.
func (g *gate) delay() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lag == 0 || g.random.IntN(20) > 0 {
		return 0
	}
	return time.Duration(g.random.Int64N(int64(g.lag)))
}

// calm ends the lagging.
func (g *gate) calm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lag, g.writes = 0, -1
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
