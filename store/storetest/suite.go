package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"proa/store"
)

// Run runs all tests on a store that nothing else uses. Histories is how many
// random histories are compared with a model; a store that syncs to disk takes
// some 0.1 s for each.
func Run(t *testing.T, s store.Store, histories int) {
	testModel := func(t *testing.T, s store.Store, root string) { testModel(t, s, root, histories) }
	tests := []struct {
		name string
		run  func(*testing.T, store.Store, string)
	}{
		{"Writes", testWrites},
		{"Refusals", testRefusals},
		{"List", testList},
		{"ListPast", testListPast},
		{"Watch", testWatch},
		{"WatchPast", testWatchPast},
		{"WatchEnds", testWatchEnds},
		{"Progress", testProgress},
		{"TooLarge", testTooLarge},
		{"CompareAndSwap", testCompareAndSwap},
		{"Model", testModel},
		{"Snapshot", testSnapshot},
		{"Compaction", testCompaction}, // takes the history of those before
		{"Close", testClose},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, s, "/registry/"+test.name+"/")
		})
	}
}

func is(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("error is %v, want %v", got, want)
	}
}

func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func testWrites(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	key := root + "a"
	before := ok[int64](t)(s.Revision(ctx))
	made := ok[store.KV](t)(s.Create(ctx, key, []byte("1"), 0))
	if made.ModRevision != before+1 || made.CreateRevision != made.ModRevision || made.Key != key || string(made.Value) != "1" {
		t.Fatalf("created %+v after revision %d", made, before)
	}
	changed := ok[store.KV](t)(s.Update(ctx, key, []byte("2"), made.ModRevision, 0))
	if changed.ModRevision != before+2 || changed.CreateRevision != 0 || string(changed.Value) != "2" {
		t.Fatalf("updated %+v", changed)
	}
	got, rev, err := s.Get(ctx, key)
	if err != nil || rev != before+2 || got.ModRevision != before+2 || got.CreateRevision != before+1 || string(got.Value) != "2" {
		t.Fatalf("got %+v at %d, %v", got, rev, err)
	}
	gone := ok[store.KV](t)(s.Delete(ctx, key, changed.ModRevision))
	if gone.ModRevision != before+3 || len(gone.Value) != 0 {
		t.Fatalf("deleted %+v", gone)
	}
	_, rev, err = s.Get(ctx, key)
	is(t, err, store.ErrNotFound)
	if rev != before+3 {
		t.Fatalf("missing at %d", rev)
	}
	if now := ok[int64](t)(s.Revision(ctx)); now != before+3 {
		t.Fatalf("revision %d after three writes from %d", now, before)
	}
	if again := ok[store.KV](t)(s.Create(ctx, key, nil, time.Hour)); again.CreateRevision != before+4 {
		t.Fatalf("created again %+v", again)
	}
}

func testRefusals(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	key := root + "a"
	_, err := s.Update(ctx, key, nil, 1, 0)
	is(t, err, store.ErrNotFound)
	_, err = s.Delete(ctx, key, 1)
	is(t, err, store.ErrNotFound)
	made := ok[store.KV](t)(s.Create(ctx, key, []byte("1"), 0))
	before := ok[int64](t)(s.Revision(ctx))
	refused := func(kv store.KV, err, want error) {
		t.Helper()
		is(t, err, want)
		if kv.ModRevision != made.ModRevision || string(kv.Value) != "1" || kv.CreateRevision != made.CreateRevision || kv.Key != key {
			t.Fatalf("refused with %+v", kv)
		}
	}
	kv, err := s.Create(ctx, key, []byte("2"), 0)
	refused(kv, err, store.ErrExists)
	kv, err = s.Update(ctx, key, []byte("2"), made.ModRevision-1, 0)
	refused(kv, err, store.ErrConflict)
	kv, err = s.Delete(ctx, key, made.ModRevision+1)
	refused(kv, err, store.ErrConflict)
	if now := ok[int64](t)(s.Revision(ctx)); now != before {
		t.Fatalf("refused writes moved the revision from %d to %d", before, now)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := s.Get(ended, key); !errors.Is(err, context.Canceled) {
		t.Fatalf("get with an ended context: %v", err)
	}
}

func listed(r store.ListResult) string {
	text := ""
	for _, kv := range r.KVs {
		text += kv.Key[len(kv.Key)-1:] + string(kv.Value) + " "
	}
	return text + strconv.FormatInt(r.Count, 10)
}

func testList(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	for _, k := range []string{"c", "a", "d", "b"} {
		ok[store.KV](t)(s.Create(ctx, root+"x/"+k, []byte("1"), 0))
	}
	ok[store.KV](t)(s.Create(ctx, root+"x", nil, 0))
	ok[store.KV](t)(s.Create(ctx, root+"xx/e", nil, 0))
	rev := ok[int64](t)(s.Revision(ctx))
	x := root + "x/"
	for _, c := range []struct {
		o    store.ListOptions
		want string
	}{
		{store.ListOptions{}, "a1 b1 c1 d1 4"},
		{store.ListOptions{Limit: 2}, "a1 b1 4"},
		{store.ListOptions{Limit: 2, After: x + "b"}, "c1 d1 2"},
		{store.ListOptions{Limit: 2, After: x + "bb"}, "c1 d1 2"},
		{store.ListOptions{After: x + "d"}, "0"},
		{store.ListOptions{After: root + "y"}, "0"},
		{store.ListOptions{After: root + "a"}, "a1 b1 c1 d1 4"},
		{store.ListOptions{CountOnly: true}, "4"},
		{store.ListOptions{Revision: rev, After: x + "c"}, "d1 1"},
	} {
		r := ok[store.ListResult](t)(s.List(ctx, x, c.o))
		if got := listed(r); got != c.want || r.Revision != rev {
			t.Errorf("%+v: %q at %d, want %q at %d", c.o, got, r.Revision, c.want, rev)
		}
	}
}

func testListPast(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	a := ok[store.KV](t)(s.Create(ctx, root+"a", []byte("1"), 0))
	b := ok[store.KV](t)(s.Create(ctx, root+"b", []byte("1"), 0))
	a2 := ok[store.KV](t)(s.Update(ctx, root+"a", []byte("2"), a.ModRevision, 0))
	gone := ok[store.KV](t)(s.Delete(ctx, root+"b", b.ModRevision))
	for rev, want := range map[int64]string{
		a.ModRevision - 1: "0", a.ModRevision: "a1 1", b.ModRevision: "a1 b1 2",
		a2.ModRevision: "a2 b1 2", gone.ModRevision: "a2 1", 0: "a2 1",
	} {
		r := ok[store.ListResult](t)(s.List(ctx, root, store.ListOptions{Revision: rev}))
		if got := listed(r); got != want || rev != 0 && r.Revision != rev {
			t.Errorf("at %d: %q at %d, want %q", rev, got, r.Revision, want)
		}
	}
	_, err := s.List(ctx, root, store.ListOptions{Revision: gone.ModRevision + 100})
	is(t, err, store.ErrFuture)
}

// patience bounds the waits for what must come.
const patience = 20 * time.Second

// collect reads n events.
func collect(t *testing.T, w store.Watch, n int) []store.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var evs []store.Event
	for len(evs) < n {
		b, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(evs), n, err)
		}
		evs = append(evs, b.Events...)
		if len(evs) > 0 && b.Revision < evs[len(evs)-1].KV.ModRevision {
			t.Fatalf("batch says %d, its last event is of %d", b.Revision, evs[len(evs)-1].KV.ModRevision)
		}
	}
	return evs
}

func shown(evs []store.Event, first int64) string {
	text := ""
	for _, ev := range evs {
		what := "~"
		switch {
		case ev.Deleted:
			what = "-"
		case ev.Created:
			what = "+"
		}
		text += fmt.Sprintf("%s%s%s@%d ", what, ev.KV.Key[len(ev.KV.Key)-1:], ev.KV.Value, ev.KV.ModRevision-first)
	}
	return text
}

func testWatch(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	first := ok[int64](t)(s.Revision(ctx))
	w := ok[store.Watch](t)(s.Watch(ctx, root+"x/", first))
	defer w.Stop()
	other := ok[store.Watch](t)(s.Watch(ctx, root, first+1))
	defer other.Stop()
	a := ok[store.KV](t)(s.Create(ctx, root+"x/a", []byte("1"), 0))
	ok[store.KV](t)(s.Create(ctx, root+"y/b", []byte("1"), 0))
	a = ok[store.KV](t)(s.Update(ctx, root+"x/a", []byte("2"), a.ModRevision, 0))
	ok[store.KV](t)(s.Delete(ctx, root+"x/a", a.ModRevision))
	ok[store.KV](t)(s.Create(ctx, root+"x/a", []byte("3"), 0))
	if got := shown(collect(t, w, 4), first); got != "+a1@1 ~a2@3 -a@4 +a3@5 " {
		t.Error(got)
	}
	if got := shown(collect(t, other, 4), first); got != "+b1@2 ~a2@3 -a@4 +a3@5 " {
		t.Error(got)
	}
}

func testWatchPast(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	first := ok[int64](t)(s.Revision(ctx))
	const n = 50
	for i := range n {
		ok[store.KV](t)(s.Create(ctx, fmt.Sprintf("%s%02d", root, i), nil, 0))
	}
	w := ok[store.Watch](t)(s.Watch(ctx, root, first+20))
	defer w.Stop()
	evs := collect(t, w, n-20)
	for i, ev := range evs {
		if ev.KV.ModRevision != first+21+int64(i) {
			t.Fatalf("event %d is of revision %d", i, ev.KV.ModRevision-first)
		}
	}
}

func testWatchEnds(t *testing.T, s store.Store, root string) {
	rev := ok[int64](t)(s.Revision(t.Context()))
	w := ok[store.Watch](t)(s.Watch(t.Context(), root, rev))
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Next(short); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with an ended context: %v", err)
	}
	ok[store.KV](t)(s.Create(t.Context(), root+"a", nil, 0))
	collect(t, w, 1) // it goes on
	w.Stop()
	w.Stop()
	if _, err := w.Next(t.Context()); err == nil {
		t.Error("Next after Stop did not fail")
	}
	ctx, cancel := context.WithCancel(t.Context())
	w = ok[store.Watch](t)(s.Watch(ctx, root, rev+1))
	cancel()
	if _, err := w.Next(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("Next after the end of the watch's context: %v", err)
	}
}

func testProgress(t *testing.T, s store.Store, root string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rev := ok[int64](t)(s.Revision(ctx))
	w := ok[store.Watch](t)(s.Watch(ctx, root+"x/", rev))
	defer w.Stop()
	ok[store.KV](t)(s.Create(ctx, root+"y", nil, 0)) // outside of the watch
	want := ok[int64](t)(s.Revision(ctx))
	// A store may pass over a request while the watch is catching up, so it is
	// repeated, as the cache does.
	got := make(chan int64, 1)
	go func() {
		for {
			b, err := w.Next(ctx)
			if err != nil || b.Revision >= want {
				got <- b.Revision
				return
			}
		}
	}()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if err := w.Progress(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case rev := <-got:
			if rev < want {
				t.Fatalf("progress %d, want %d", rev, want)
			}
			return
		case <-again.C:
		}
	}
}

func testTooLarge(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	ok[store.KV](t)(s.Create(ctx, root+"a", make([]byte, 1<<20), 0))
	_, err := s.Create(ctx, root+"b", make([]byte, 3<<19), 0)
	is(t, err, store.ErrTooLarge)
}

// testCompareAndSwap lets writers count one key up together. No count may be
// lost, and a watch must see every one, in order.
func testCompareAndSwap(t *testing.T, s store.Store, root string) {
	const writers, each = 8, 10
	ctx := t.Context()
	key := root + "counter"
	kv := ok[store.KV](t)(s.Create(ctx, key, []byte("0"), 0))
	w := ok[store.Watch](t)(s.Watch(ctx, root, kv.ModRevision))
	defer w.Stop()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				kv, _, err := s.Get(ctx, key)
				for err == nil {
					n, _ := strconv.Atoi(string(kv.Value))
					kv, err = s.Update(ctx, key, []byte(strconv.Itoa(n+1)), kv.ModRevision, 0)
					if err == nil {
						break
					}
					if errors.Is(err, store.ErrConflict) {
						err = nil // try on what is there now
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i, ev := range collect(t, w, writers*each) {
		if string(ev.KV.Value) != strconv.Itoa(i+1) {
			t.Fatalf("event %d says %s", i, ev.KV.Value)
		}
	}
}

func testSnapshot(t *testing.T, s store.Store, root string) {
	secret := []byte("a-value-in-the-snapshot")
	ok[store.KV](t)(s.Create(t.Context(), root+"a", secret, 0))
	var b bytes.Buffer
	if err := s.Snapshot(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if b.Len() == 0 {
		t.Fatal("the snapshot is empty")
	}
}

func testCompaction(t *testing.T, s store.Store, root string) {
	ctx := t.Context()
	a := ok[store.KV](t)(s.Create(ctx, root+"a", []byte("1"), 0))
	b := ok[store.KV](t)(s.Create(ctx, root+"b", []byte("1"), 0))
	a2 := ok[store.KV](t)(s.Update(ctx, root+"a", []byte("2"), a.ModRevision, 0))
	gone := ok[store.KV](t)(s.Delete(ctx, root+"b", b.ModRevision))
	running := ok[store.Watch](t)(s.Watch(ctx, root, gone.ModRevision))
	defer running.Stop()
	if err := s.Compact(ctx, a2.ModRevision); err != nil {
		t.Fatal(err)
	}
	if got := s.Compacted(); got != a2.ModRevision {
		t.Errorf("compacted at %d, said %d", a2.ModRevision, got)
	}
	is(t, s.Compact(ctx, a2.ModRevision), store.ErrCompacted)
	is(t, s.Compact(ctx, gone.ModRevision+100), store.ErrFuture)

	_, err := s.List(ctx, root, store.ListOptions{Revision: b.ModRevision})
	is(t, err, store.ErrCompacted)
	r := ok[store.ListResult](t)(s.List(ctx, root, store.ListOptions{Revision: a2.ModRevision}))
	if got := listed(r); got != "a2 b1 2" {
		t.Errorf("at the compacted revision: %q", got)
	}
	w, err := s.Watch(ctx, root, a.ModRevision)
	if err == nil {
		defer w.Stop()
		for err == nil {
			_, err = w.Next(ctx)
		}
	}
	is(t, err, store.ErrCompacted)
	w = ok[store.Watch](t)(s.Watch(ctx, root, a2.ModRevision))
	defer w.Stop()
	if got := shown(collect(t, w, 1), gone.ModRevision); got != "-b@0 " {
		t.Error(got)
	}
	ok[store.KV](t)(s.Create(ctx, root+"c", nil, 0))
	collect(t, running, 1) // compaction does not harm it
	if kv, _, err := s.Get(ctx, root+"a"); err != nil || string(kv.Value) != "2" || kv.CreateRevision != a.ModRevision {
		t.Errorf("got %+v, %v", kv, err)
	}
}

func testClose(t *testing.T, s store.Store, root string) {
	rev := ok[int64](t)(s.Revision(t.Context()))
	w := ok[store.Watch](t)(s.Watch(t.Context(), root, rev))
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := w.Next(t.Context()); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	<-ended
	if _, err := s.Create(t.Context(), root+"a", nil, 0); err == nil {
		t.Error("Create after Close did not fail")
	}
}
