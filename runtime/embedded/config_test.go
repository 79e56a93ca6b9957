package embedded

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"fine", func(*Config) {}, ""},
		{"no root", func(c *Config) { c.Root = "" }, "Root must be set"},
		{"relative", func(c *Config) { c.State = "state" }, `State "state" must be an absolute path`},
		{"the same", func(c *Config) { c.State = "/r/" }, "must differ"},
		{"long socket", func(c *Config) { c.Socket = "/" + strings.Repeat("x", 101) }, "choose a shorter Socket"},
		{"snapshotter", func(c *Config) { c.Snapshotter = "zfs" }, "is not one of"},
		{"period", func(c *Config) { c.StatsPeriod = time.Millisecond }, "at least one second"},
	} {
		c := Config{Root: "/r", State: "/s", BinDir: "/b"}
		tt.change(&c)
		err := c.withDefaults().validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestShimSocketDir(t *testing.T) {
	t.Parallel()
	if got := ShimSocketDir("/run/proa/containerd"); got != "/run/proa/containerd/s" {
		t.Errorf("short state: %s", got)
	}
	long := "/tmp/" + strings.Repeat("long", 20)
	got := ShimSocketDir(long)
	if len(got) > maxShimSocketDir {
		t.Errorf("long state: %s has %d bytes", got, len(got))
	}
	if got != ShimSocketDir(long+"/") || got == ShimSocketDir(long+"x") {
		t.Error("the directory must follow from the state, and from nothing else")
	}
}

// Every setting must reach the plugin that it is for, under a name it knows:
// containerd only warns about a key that it does not.
func TestSettingsAreKnown(t *testing.T) {
	t.Parallel()
	uris := map[string]bool{}
	for _, r := range graph(snapshotterOverlay, overlayPlugin(nil, false), sandboxerPlugin(Config{}, nil)) {
		uris[r.URI()] = true
	}
	for uri := range settings(Config{Root: "/r", State: "/s", BinDir: "/b"}.withDefaults(), probed{snapshotter: snapshotterOverlay}) {
		if !uris[uri] {
			t.Errorf("settings for %s, which is not linked in", uri)
		}
	}
	for _, uri := range required {
		if !uris[uri] {
			t.Errorf("%s is required and not linked in", uri)
		}
	}
	if uris["io.containerd.snapshotter.v1.native"] {
		t.Error("a snapshotter is loaded that is not used")
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Start(t.Context(), Config{Root: dir + "/r", State: dir + "/s", BinDir: dir})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), ShimBinary) {
		t.Errorf("without programs: %v", err)
	}
	if _, err := os.Stat(dir + "/r"); err == nil {
		t.Error("a failed start left a directory")
	}
}

func TestIsMounted(t *testing.T) {
	t.Parallel()
	const info = "40 22 0:40 / /run/proa/s rw,nosuid - tmpfs proa-state rw\n41 22 0:41 / /run/other rw - tmpfs tmpfs rw\n42 22 0:42 / /x rw - ext4 proa-state rw\n"
	for dir, want := range map[string]bool{"/run/proa/s": true, "/run/proa/s/": true, "/run/proa": false, "/run/other": false, "/x": false} {
		if got := isMounted(info, dir); got != want {
			t.Errorf("%s: %t", dir, got)
		}
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("second lock: %v, want %v", err, ErrInUse)
	}
	unlock()
	if unlock, err = Lock(dir); err != nil {
		t.Errorf("after unlock: %v", err)
	} else {
		unlock()
	}
	if unlock, err = Lock(filepath.Join(dir, "none")); err != nil {
		t.Errorf("without a directory: %v", err)
	} else {
		unlock()
	}
}

func TestOOMScoreAdjRestricted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "oom_score_adj")
	for content, bad := range map[string]bool{"0\n": false, "-1000\n": false, "500": false, "x": true} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		restricted, err := oomScoreAdjRestricted(file)
		if (err != nil) != bad || restricted {
			t.Errorf("%q: %t, %v", content, restricted, err)
		}
		after, _ := os.ReadFile(file)
		if strings.TrimSpace(string(after)) != strings.TrimSpace(content) {
			t.Errorf("%q became %q", content, after)
		}
	}
	// The machine decides what this one says; that it comes back unchanged is
	// what matters.
	const own = "/proc/self/oom_score_adj"
	before, _ := os.ReadFile(own)
	if _, err := oomScoreAdjRestricted(own); err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(own); string(after) != string(before) {
		t.Errorf("own score was %s, is %s", before, after)
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	var fatal []string
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	var muted atomic.Bool
	l := newLogger(h, &muted, func(msg string) { fatal = append(fatal, msg) })
	l.Info("chatter")
	l.WithField("id", "x").Warn("careful")
	l.Warn("failed check for fsverity support")
	l.WithError(errors.New("boom")).Fatal("cannot go on")
	muted.Store(true)
	l.Error("after the end")
	const want = "level=WARN msg=careful id=x\nlevel=ERROR msg=\"cannot go on\" error=boom\n"
	if out.String() != want {
		t.Errorf("got:\n%s", out.String())
	}
	if len(fatal) != 1 || fatal[0] != "cannot go on: boom" {
		t.Errorf("fatal: %q", fatal)
	}
	if l.Logger.IsLevelEnabled(logrus.InfoLevel) {
		t.Error("information is formatted although nobody wants it")
	}
}
