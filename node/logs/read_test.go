package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func stamp(i int) string { return fmt.Sprintf("2026-01-02T03:04:%02d.000000000Z", i) }

func writeLog(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(p, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRead(t *testing.T) {
	t.Parallel()
	log := stamp(1) + " stdout F one\n" +
		stamp(2) + " stderr F two\n" +
		stamp(3) + " stdout P thr\n" +
		stamp(4) + " stdout F ee\n" +
		"\x00\x00\x00 garbage\n" +
		stamp(5) + " stdout F \n" +
		stamp(6) + " stdout F six\n"
	all := "one\ntwo\nthree\n\nsix\n"
	at3, _ := time.Parse(time.RFC3339Nano, stamp(3))
	limit := func(n int64) *int64 { return &n }
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"all":          {Options{Tail: -1}, all},
		"tail 1":       {Options{Tail: 1}, "six\n"},
		"tail 2":       {Options{Tail: 2}, "\nsix\n"},
		"tail 0":       {Options{Tail: 0}, ""},
		"tail of more": {Options{Tail: 100}, all},
		"since":        {Options{Tail: -1, Since: at3}, "three\n\nsix\n"},
		"limit":        {Options{Tail: -1, LimitBytes: limit(6)}, "one\ntw"},
		"limit 0":      {Options{Tail: -1, LimitBytes: limit(0)}, ""},
		"timestamps":   {Options{Tail: 4, Timestamps: true}, stamp(4) + " ee\n" + stamp(5) + " \n" + stamp(6) + " six\n"},
		"whole lines":  {Options{Tail: -1, Since: at3, Timestamps: true, LimitBytes: limit(37)}, stamp(3) + " three\n"},
	} {
		var out bytes.Buffer
		if err := Read(context.Background(), writeLog(t, log), tc.o, &out, &out); err != nil || out.String() != tc.want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, out.String(), tc.want)
		}
	}
	var out, errs bytes.Buffer
	if err := Read(context.Background(), writeLog(t, log), Options{Tail: -1}, nil, &errs); err != nil || errs.String() != "two\n" {
		t.Errorf("stderr only: %q %v", errs.String(), err)
	}
	if err := Read(context.Background(), writeLog(t, stamp(1)+" stdout F cut off"), Options{Tail: -1}, &out, nil); err != nil || out.String() != "cut off" {
		t.Errorf("unfinished: %q %v", out.String(), err)
	}
	if err := Read(context.Background(), "/does/not/exist", Options{}, &out, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestTailAcrossBlocks(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "%s stdout F %d %s\n", stamp(1), i, strings.Repeat("x", i%100))
	}
	p := writeLog(t, b.String())
	for _, n := range []int64{1, 7, 999, 4999, 5000, 5001} {
		var out bytes.Buffer
		if err := Read(context.Background(), p, Options{Tail: n}, &out, &out); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "\n"); got != int(min(n, 5000)) {
			t.Errorf("tail %d: %d lines", n, got)
		}
	}
}

// safeBuffer is written by the reader while the test looks.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	ch chan struct{}
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		select {
		case s.ch <- struct{}{}:
		default:
		}
	}()
	return s.b.Write(p)
}

// await blocks until the text has arrived.
func (s *safeBuffer) await(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		got := s.b.String()
		s.mu.Unlock()
		if got == want {
			return
		}
		select {
		case <-s.ch:
		case <-deadline:
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestFollowAcrossRotationsToTheEnd(t *testing.T) {
	t.Parallel()
	p := writeLog(t, stamp(1)+" stdout F 0\n")
	var running atomic.Bool
	running.Store(true)
	out := &safeBuffer{ch: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() {
		done <- Read(context.Background(), p, Options{Follow: true, Tail: -1, Running: func(context.Context) (bool, error) { return running.Load(), nil }}, out, out)
	}()
	want := "0\n"
	out.await(t, want)
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 20; i++ {
		// In two writes, so that a line is seen half written.
		fmt.Fprintf(f, "%s stdo", stamp(i))
		fmt.Fprintf(f, "ut F %d\n", i)
		want += fmt.Sprintf("%d\n", i)
		if i%5 == 0 {
			// The runtime writes on to the renamed file until it reopens.
			if err := os.Rename(p, fmt.Sprintf("%s.%02d", p, i)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(f, "%s stdout F late %d\n", stamp(i), i)
			want += fmt.Sprintf("late %d\n", i)
			f.Close()
			if f, err = os.OpenFile(p, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
				t.Fatal(err)
			}
			out.await(t, want)
		}
	}
	fmt.Fprintf(f, "%s stdout F last\n", stamp(30))
	running.Store(false)
	f.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	out.await(t, want+"last\n")
}

func TestFollowEndsWithItsReader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	p := writeLog(t, "")
	go func() {
		done <- Read(ctx, p, Options{Follow: true, Tail: -1, Running: func(context.Context) (bool, error) { return true, nil }}, &bytes.Buffer{}, nil)
	}()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(stamp(1) + " stdout F x\n"))
	f.Add([]byte(stamp(1) + " stdout P:a x"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := ParseEntry(line); err == nil && e.Stream != Stdout && e.Stream != Stderr {
			t.Errorf("%q: %+v", line, e)
		}
	})
}
