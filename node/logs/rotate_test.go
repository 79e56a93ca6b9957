package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runtimeLog is a container's log as a runtime writes it.
type runtimeLog struct {
	path string
	f    *os.File
	fail error
}

func (l *runtimeLog) reopen(context.Context, string) error {
	if l.fail != nil {
		return l.fail
	}
	if l.f != nil {
		l.f.Close()
	}
	var err error
	l.f, err = os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	return err
}

func TestRotationKeepsTheLastFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &runtimeLog{path: filepath.Join(t.TempDir(), "0.log")}
		if err := l.reopen(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		defer func() { l.f.Close() }()
		r := NewRotator(RotatorConfig{MaxSize: 10, MaxFiles: 4, Reopen: l.reopen})
		r.Add("c", l.path)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		for i := range 8 {
			io.WriteString(l.f, strings.Repeat(string(rune('a'+i)), 10)+"\n")
			time.Sleep(lookSlow + time.Second)
			synctest.Wait()
		}
		cancel()
		<-done
		files, err := Rotated(l.path)
		if err != nil || len(files) != 3 {
			t.Fatalf("%v %v", files, err)
		}
		var got string
		for i, f := range files {
			in, err := os.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			var rd io.Reader = in
			if strings.HasSuffix(f, ".gz") {
				if rd, err = gzip.NewReader(in); err != nil {
					t.Fatal(err)
				}
			} else if i != len(files)-1 {
				t.Errorf("%s is not packed", f)
			}
			b, _ := io.ReadAll(rd)
			got += string(b[:1])
		}
		if got != "fgh" {
			t.Errorf("kept %q", got)
		}
		if st, err := os.Stat(l.path); err != nil || st.Size() != 0 {
			t.Errorf("new log: %v %v", st, err)
		}
	})
}

func TestAFailedReopenGivesTheLogItsNameBack(t *testing.T) {
	t.Parallel()
	p := writeLog(t, "x")
	l := &runtimeLog{path: p, fail: errors.New("no")}
	r := NewRotator(RotatorConfig{Reopen: l.reopen})
	if err := r.Rotate(context.Background(), "c", p); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(p); err != nil {
		t.Error(err)
	}
}

func TestWhatACrashLeftIsTidiedUp(t *testing.T) {
	t.Parallel()
	p := writeLog(t, "x")
	for _, s := range []string{".20260101-000000", ".20260101-000000.gz", ".20260101-000001.gz.tmp", ".20260101-000002"} {
		if err := os.WriteFile(p+s, []byte("x"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	got, err := tidy(p)
	if err != nil || len(got) != 2 || !strings.HasSuffix(got[0], "000000.gz") || !strings.HasSuffix(got[1], "000002") {
		t.Errorf("%v %v", got, err)
	}
	// Renamed, but never reopened: the agent was killed between.
	lost := &runtimeLog{path: filepath.Join(t.TempDir(), "0.log")}
	defer func() { lost.f.Close() }()
	r := NewRotator(RotatorConfig{Reopen: lost.reopen})
	r.Add("c", lost.path)
	r.look(t.Context())
	if _, err := os.Stat(lost.path); err != nil {
		t.Error(err)
	}
}
