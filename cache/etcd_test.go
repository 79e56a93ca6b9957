package cache_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/watch"

	"proa/cache"
	"proa/store"
	"proa/store/etcd"
)

// TestTwoServersOverOneEtcd lets two hubs, one in the process of etcd and one
// connected to it, work on the same objects: what either has written, the
// other reads at once, and watches of both see the same events.
func TestTwoServersOverOneEtcd(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := (&url.URL{Scheme: "unix", Path: filepath.Join(dir, "s")}).String()
	inside, err := etcd.Open(t.Context(), etcd.Options{Dir: t.TempDir(), ListenClients: []string{at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inside.Close() })
	outside, err := etcd.Open(t.Context(), etcd.Options{Servers: []string{at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	hubs := []*cache.Hub{start(t, inside, cache.Options{}), start(t, outside, cache.Options{})}
	def := podDef()
	ctx := t.Context()
	var watches []*cache.Watch
	for _, h := range hubs {
		w := must[*cache.Watch](t)(h.Cache(def).Watch(ctx, cache.WatchRequest{SkipInitial: true}))
		defer w.Stop()
		watches = append(watches, w)
	}

	const writers, writes = 8, 15
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			mine, other := hubs[i%2].Cache(def), hubs[1-i%2].Cache(def)
			for n := range writes {
				name := fmt.Sprintf("p%d", (i/2+n)%3) // contended
				e, _, err := mine.Get(ctx, "ns", name, cache.Latest, 0)
				switch {
				case errors.Is(err, cache.ErrNotFound):
					e, err = mine.Create(ctx, pod("ns", name, fmt.Sprint(i)), 0)
				case err == nil && n%5 == 4:
					e, err = mine.Delete(ctx, e)
				case err == nil:
					e, err = mine.Update(ctx, e, pod("ns", name, fmt.Sprint(i)), 0)
				}
				if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				// The other server must know of it by now, or of something newer.
				_, rev, err := other.Get(ctx, "ns", name, cache.Latest, 0)
				if err != nil && !errors.Is(err, cache.ErrNotFound) || rev < e.Revision {
					t.Errorf("the other server is at %d after a write of %d: %v", rev, e.Revision, err)
				}
			}
		})
	}
	wg.Wait()
	var seen [2]string
	for i, w := range watches {
		if err := hubs[i].WaitLatest(ctx); err != nil {
			t.Fatal(err)
		}
		w.Bookmark()
		for marked := false; !marked; {
			evs, err := w.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range evs {
				if marked = ev.Type == watch.Bookmark; !marked {
					seen[i] += fmt.Sprintf("%s %s@%d\n", ev.Type, ev.Entry.Name, ev.Revision)
				}
			}
		}
	}
	if seen[0] != seen[1] || seen[0] == "" {
		t.Errorf("one server saw\n%sthe other\n%s", seen[0], seen[1])
	}
	for _, h := range hubs {
		if bad := h.Mutated(); len(bad) > 0 {
			t.Error("changed in place:", bad)
		}
	}
}

// BenchmarkCreateDurable creates pods through the cache and an etcd in the
// process, and reports the CPU time of one.
func BenchmarkCreateDurable(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			s, err := etcd.Open(b.Context(), etcd.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the directory goes with it
			pods := start(b, s, cache.Options{}).Cache(podDef())
			if err := pods.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			p := fullPod(0)
			var next sync.Mutex
			n := 0
			var before, after syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for {
						next.Lock()
						i := n
						n++
						next.Unlock()
						if i >= b.N {
							return
						}
						q := *p
						q.Name = fmt.Sprint("p", i)
						if _, err := pods.Create(b.Context(), &q, 0); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
				b.Fatal(err)
			}
			cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(cpu)/1000/float64(b.N), "cpu-µs/op")
		})
	}
}
