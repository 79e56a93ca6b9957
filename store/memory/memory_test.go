package memory_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"proa/store"
	"proa/store/memory"
	"proa/store/storetest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, memory.New(memory.Options{}), 100)
}

func TestTimeToLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		defer s.Close() //nolint:errcheck // never fails
		ctx := t.Context()
		kv, err := s.Create(ctx, "/registry/a", nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(ctx, "/registry/b", nil, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		if _, err := s.Update(ctx, "/registry/a", nil, kv.ModRevision, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		if _, _, err := s.Get(ctx, "/registry/a"); err != nil {
			t.Errorf("a write did not prolong the life: %v", err)
		}
		w, err := s.Watch(ctx, "/registry/", 4)
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Next(ctx)
		if err != nil || len(b.Events) != 1 || !b.Events[0].Deleted || b.Events[0].KV.Key != "/registry/a" {
			t.Fatalf("%+v, %v", b, err)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	boom := errors.New("boom")
	s := memory.New(memory.Options{Fault: memory.FailNth(1, memory.Fault{Err: boom}, memory.OpCreate)})
	if _, err := s.Create(ctx, "/a", nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, "/b", nil, 0); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "/b"); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	s.SetFault(memory.FailNth(0, memory.Fault{Err: store.ErrUncertain, Applied: true}, memory.Writes...))
	if _, err := s.Create(ctx, "/b", nil, 0); !errors.Is(err, store.ErrUncertain) {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "/b"); err != nil {
		t.Fatalf("the uncertain write was not made: %v", err)
	}
	w, err := s.Watch(ctx, "/", 1)
	if err != nil {
		t.Fatal(err)
	}
	s.CutWatches(store.ErrUnavailable)
	if _, err := w.Next(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := memory.New(memory.Options{})
	for _, k := range []string{"/a", "/b"} {
		if _, err := s.Create(ctx, k, []byte(k), 0); err != nil {
			t.Fatal(err)
		}
	}
	var one, two bytes.Buffer
	if err := s.Snapshot(ctx, &one); err != nil {
		t.Fatal(err)
	}
	text := one.String()
	back, err := memory.Restore(&one, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Snapshot(ctx, &two); err != nil {
		t.Fatal(err)
	}
	if two.String() != text {
		t.Errorf("%s\nbecame\n%s", text, two.String())
	}
	if kv, rev, err := back.Get(ctx, "/b"); err != nil || rev != 3 || kv.ModRevision != 3 {
		t.Errorf("%+v at %d, %v", kv, rev, err)
	}
}
