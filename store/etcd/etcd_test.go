package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"proa/store"
	"proa/store/storetest"
)

// open starts an embedded etcd for the test.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.CompactInterval == 0 {
		o.CompactInterval = -1
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open(t, Options{}), 10)
}

// socket returns the URL of a unix socket whose path is short enough.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return (&url.URL{Scheme: "unix", Path: filepath.Join(dir, "s")}).String()
}

func TestExternal(t *testing.T) {
	t.Parallel()
	at := socket(t)
	open(t, Options{ListenClients: []string{at}})
	s, err := Open(t.Context(), Options{Servers: []string{at}, CompactInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	storetest.Run(t, s, 10)
}

func TestExternalThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a listener that never accepted
	_, err = Open(t.Context(), Options{Servers: []string{"http://" + l.Addr().String()}, DialTimeout: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "does not answer") || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Servers: []string{"https://" + l.Addr().String()}, CAFile: "/nonexistent"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Fatal(err)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := t.Context()
	var last store.KV
	for i := range 3 {
		s := open(t, Options{Dir: dir})
		if i > 0 {
			kv, rev, err := s.Get(ctx, last.Key)
			if err != nil || kv.ModRevision != last.ModRevision || rev != last.ModRevision {
				t.Fatalf("%+v at %d, %v; wrote %+v", kv, rev, err, last)
			}
		}
		var err error
		if last, err = s.Create(ctx, fmt.Sprint("/registry/", i), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReopenAfterManyWrites replays logs that are longer than what etcd keeps
// in memory by itself, which the election at the start must survive.
func TestReopenAfterManyWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 4 {
		s := open(t, Options{Dir: dir})
		var writers sync.WaitGroup
		for w := range 32 {
			writers.Go(func() {
				for i := range 30 {
					if _, err := s.Create(t.Context(), fmt.Sprintf("/registry/%d/%d/%d", round, w, i), []byte("x"), 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{Dir: dir})
	defer s.Close()
	if l, err := s.List(t.Context(), "/registry/", store.ListOptions{CountOnly: true}); err != nil || l.Count != 4*32*30 {
		t.Errorf("%d keys are left, %v; want %d", l.Count, err, 4*32*30)
	}
}

func TestDirectoryErrors(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	open(t, Options{Dir: used})

	file := filepath.Join(t.TempDir(), "file")
	newer := t.TempDir()
	newerEtcd := t.TempDir()
	for path, text := range map[string]string{
		file:                               "x",
		filepath.Join(newer, "format"):     fmt.Sprintf("proa-store %d etcd 3.6\n", format+1),
		filepath.Join(newerEtcd, "format"): fmt.Sprintf("proa-store %d etcd 4.1\n", format),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, dir, text string
		is              error
	}{
		{"locked", used, fmt.Sprintf("locked by process %d", os.Getpid()), ErrLocked},
		{"file", file, "is not a directory", nil},
		{"below a file", filepath.Join(file, "x"), "is not a directory", nil},
		{"newer format", newer, "use the version that wrote it", ErrNewer},
		{"newer etcd", newerEtcd, "use the version that wrote it", ErrNewer},
		{"none", "", "no data directory", nil},
	} {
		_, err := Open(t.Context(), Options{Dir: c.dir})
		if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		text string
		is   error
	}{
		{errors.New("cannot downgrade storage, WAL contains newer entries"), "newer version", ErrNewer},
		{fmt.Errorf("write: %w", syscall.ENOSPC), "disk of /d is full", store.ErrNoSpace},
		{errors.New("failed to save: no space left on device"), "disk of /d is full", store.ErrNoSpace},
		{fmt.Errorf("open: %w", syscall.EROFS), "read-only", nil},
		{fmt.Errorf("open: %w", syscall.EACCES), "cannot be used by this user", nil},
		{errors.New("walpb: crc mismatch"), "damaged", nil},
	} {
		got := openError("/d", c.err)
		if !strings.Contains(got.Error(), c.text) || c.is != nil && !errors.Is(got, c.is) {
			t.Errorf("%v became %v", c.err, got)
		}
	}
}

// TestFatalErrors damages the log and requires an error in place of the end of
// the process.
func TestFatalErrors(t *testing.T) {
	t.Parallel()
	// What etcd had begun may still write here when the test has ended.
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 {
			if os.RemoveAll(dir) == nil {
				break
			}
		}
	})
	s := open(t, Options{Dir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, l := range logs {
		f, err := os.OpenFile(l, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(strings.Repeat("garbage", 100)), 16); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err = Open(ctx, Options{Dir: dir})
	if err == nil {
		_ = s.Close()
		t.Fatal("opened a damaged directory")
	}
	if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir+" is damaged") {
		t.Error(err)
	}
}

func TestNoSpaceInQuota(t *testing.T) {
	t.Parallel()
	s := open(t, Options{QuotaBytes: 1 << 20})
	ctx := t.Context()
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, err = s.Create(ctx, fmt.Sprint("/registry/", i), make([]byte, 256<<10), 0)
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "/registry/0"); err != nil {
		t.Errorf("reading a full store: %v", err)
	}
}

func TestTimeToLiveSharesLeases(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	ctx := t.Context()
	lease := func(key string) int64 {
		r, err := s.client.Get(ctx, key)
		if err != nil || len(r.Kvs) != 1 {
			t.Fatal(r, err)
		}
		return r.Kvs[0].Lease
	}
	write := func(key string, ttl time.Duration) int64 {
		t.Helper()
		if _, err := s.Create(ctx, key, nil, ttl); err != nil {
			t.Fatal(err)
		}
		return lease(key)
	}
	a, b, c := write("/a", time.Hour), write("/b", time.Hour), write("/c", time.Minute)
	if a == 0 || a != b || c == a || c == 0 {
		t.Fatalf("leases %x %x %x", a, b, c)
	}
	if d := write("/d", 0); d != 0 {
		t.Fatalf("a key for ever has lease %x", d)
	}
	r, err := s.client.TimeToLive(ctx, clientv3.LeaseID(a))
	if err != nil || r.GrantedTTL < 3600 || r.GrantedTTL > 3660 {
		t.Fatal(r, err)
	}
	if _, err := s.client.Revoke(ctx, clientv3.LeaseID(a)); err != nil {
		t.Fatal(err)
	}
	if e := write("/e", time.Hour); e == 0 || e == a {
		t.Fatalf("after the lease was revoked: %x", e)
	}
	if _, _, err := s.Get(ctx, "/a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("key of a revoked lease: %v", err)
	}
}

type fakeLeases struct {
	clientv3.Lease
	granted []int64
}

func (f *fakeLeases) Grant(_ context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	f.granted = append(f.granted, ttl)
	return &clientv3.LeaseGrantResponse{ID: clientv3.LeaseID(len(f.granted))}, nil
}

func TestLeaseWindow(t *testing.T) {
	t.Parallel()
	f := &fakeLeases{}
	now := time.Unix(0, 0)
	l := newLeases(f, func() time.Time { return now })
	get := func(ttl time.Duration) clientv3.LeaseID {
		id, err := l.get(t.Context(), ttl)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if get(time.Hour) != 1 || get(time.Hour) != 1 {
		t.Error("a lease is not shared")
	}
	now = now.Add(time.Minute)
	if get(time.Hour) != 1 {
		t.Error("a lease is not shared to the end of its window")
	}
	now = now.Add(time.Second)
	if get(time.Hour) != 2 {
		t.Error("a lease is shared that does not last")
	}
	for range leaseKeys {
		get(time.Hour)
	}
	if id := get(time.Hour); id != 3 {
		t.Errorf("lease %d after %d keys", id, leaseKeys)
	}
	if get(1500*time.Millisecond) != 4 || f.granted[0] != 3660 || f.granted[3] != 2 {
		t.Error(f.granted)
	}
}

// TestCompactorsAgree runs two compactors beside each other, as two API
// servers do: only one of them compacts, and only what an interval has passed
// over.
func TestCompactorsAgree(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	ctx := t.Context()
	one, two := s.compactor(), s.compactor()
	step := func(c *compactor) {
		t.Helper()
		if err := c.step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var revs []int64
	write := func() {
		kv, err := s.Create(ctx, fmt.Sprint("/registry/", len(revs)), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, kv.ModRevision)
	}
	readable := func(rev int64) bool {
		_, err := s.List(ctx, "/registry/", store.ListOptions{Revision: rev})
		if err != nil && !errors.Is(err, store.ErrCompacted) {
			t.Fatal(err)
		}
		return err == nil
	}
	write()
	step(one)
	step(two)
	write()
	write()
	if !readable(revs[0]) {
		t.Fatal("compacted in the first interval")
	}
	step(one) // compacts to what it saw first
	step(two)
	if readable(revs[0]) || !readable(revs[1]) {
		t.Fatal("the second interval did not compact to the end of the first")
	}
	step(two) // now it is the other's turn
	step(one)
	if readable(revs[1]) || !readable(revs[2]+1) {
		t.Fatal("the third interval did not compact to the end of the second")
	}
}

func TestLogBecomesSlog(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := zapLogger(slog.New(slog.NewTextHandler(&out, nil)), func(string) {})
	log.Info("not worth a line")
	log.Warn(quiet[0])
	log.Sugar().With("a", 1).Warnw("worth a line", "b", "two")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=WARN msg="worth a line" part=etcd`) ||
		!strings.Contains(got, "a=1") || !strings.Contains(got, "b=two") {
		t.Error(got)
	}
}

func BenchmarkCreate(b *testing.B) {
	s, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the directory goes with it
	value := make([]byte, 1200)
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n, "writers"), func(b *testing.B) {
			b.SetParallelism(max(1, n/2))
			var i = newCounter()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Create(b.Context(), fmt.Sprint("/registry/", n, "/", b.N, "/", i()), value, 0); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// newCounter returns a function that counts, for many goroutines.
func newCounter() func() int {
	c := make(chan int, 1)
	c <- 0
	return func() int {
		n := <-c
		c <- n + 1
		return n
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := Open(b.Context(), Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func TestSnapshotIsADatabase(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	f, err := os.Create(filepath.Join(t.TempDir(), "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // checked by reading it
	if err := s.Snapshot(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	// A database in pages, and the checksum that etcdutl verifies.
	if size, err := f.Seek(0, io.SeekEnd); err != nil || size%512 != 32 {
		t.Fatal(size, err)
	}
}
