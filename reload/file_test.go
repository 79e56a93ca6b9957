package reload_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"proa/reload"
)

// follow writes each of the contents in turn, once the one before was offered,
// and returns what was offered.
func follow(t *testing.T, path string, change func(i int, data string), contents []string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string)
	f := reload.File{Path: path, Loaded: []byte("first"), Log: slog.New(slog.DiscardHandler), Load: func(ctx context.Context, data []byte) error {
		select {
		case seen <- string(data):
		case <-ctx.Done():
		}
		if strings.HasPrefix(string(data), "bad") {
			return errors.New("bad")
		}
		return nil
	}}
	done := make(chan struct{})
	go func() { f.Follow(ctx); close(done) }()
	var got []string
	for i, c := range contents {
		change(i, c)
		got = append(got, <-seen)
	}
	cancel()
	<-done
	return got
}

func TestFileIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	write := func(_ int, data string) {
		if err := os.WriteFile(path+".new", []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(0, "first")
	want := []string{"second", "bad third", "fourth"}
	if got := follow(t, path, write, want); strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("loaded %q", got)
	}
}

// A mounted ConfigMap is a chain of links, whose middle one is exchanged.
func TestLinkIsExchanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	exchange := func(i int, data string) {
		version := filepath.Join(dir, "..v"+string(rune('a'+i)))
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(version, "config.yaml"), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	exchange(0, "first")
	if err := os.Symlink("..data/config.yaml", path); err != nil {
		t.Fatal(err)
	}
	want := []string{"second", "third"}
	if got := follow(t, path, func(i int, d string) { exchange(i+1, d) }, want); strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("loaded %q", got)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, make([]byte, reload.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reload.Read(path); err == nil {
		t.Error("a file beyond any measure was read")
	}
}
