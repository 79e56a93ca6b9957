package logs

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// lookSlow is how often sizes are looked at while no log grows, if that is not
	// seldom enough already.
	lookSlow = time.Minute

	stampFormat = "20060102-150405"
	packed      = ".gz"
	unfinished  = ".tmp"
)

// RotatorConfig configures a Rotator.
type RotatorConfig struct {
	// MaxSize in bytes (10Mi if 0) and MaxFiles (5 if 0, at least 2) bound one
	// container.
	MaxSize  int64
	MaxFiles int
	// Interval is how often sizes are looked at while logs grow: 10 s if 0.
	Interval time.Duration
	// Reopen is CRI's ReopenContainerLog.
	Reopen func(ctx context.Context, containerID string) error
	Clock  clock.Clock
	Log    *slog.Logger
}

// Rotator keeps container logs within bounds. Safe for concurrent use.
type Rotator struct {
	cfg  RotatorConfig
	wake chan struct{}

	mu   sync.Mutex
	logs map[string]*watched // by container id
}

type watched struct {
	path string
	size int64
}

// NewRotator makes a Rotator; nothing runs before Run.
func NewRotator(cfg RotatorConfig) *Rotator {
	cfg.MaxSize = cmp.Or(cfg.MaxSize, 10<<20)
	cfg.MaxFiles = max(cmp.Or(cfg.MaxFiles, 5), 2)
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Rotator{cfg: cfg, wake: make(chan struct{}, 1), logs: map[string]*watched{}}
}

// Add watches the log of a running container; Remove forgets it. Both are
// idempotent.
func (r *Rotator) Add(containerID, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.logs[containerID]; ok && w.path == path {
		return
	}
	r.logs[containerID] = &watched{path: path}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Remove forgets a container.
func (r *Rotator) Remove(containerID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.logs, containerID)
}

// Run rotates until ctx ends. With no log to look at it sleeps.
func (r *Rotator) Run(ctx context.Context) error {
	pause := r.cfg.Interval
	for {
		r.mu.Lock()
		idle := len(r.logs) == 0
		r.mu.Unlock()
		var tick <-chan time.Time
		var t clock.Timer
		if !idle {
			t = r.cfg.Clock.NewTimer(pause)
			tick = t.C()
		}
		woken := false
		select {
		case <-ctx.Done():
		case <-tick:
		case <-r.wake:
			woken = true
		}
		if t != nil {
			t.Stop()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case woken:
			pause = r.cfg.Interval
		case r.look(ctx):
			pause = r.cfg.Interval
		default:
			pause = min(2*pause, max(lookSlow, r.cfg.Interval))
		}
	}
}

// look rotates what is too large and says whether anything grew.
func (r *Rotator) look(ctx context.Context) (grew bool) {
	r.mu.Lock()
	ids := make(map[string]watched, len(r.logs))
	for id, w := range r.logs {
		ids[id] = *w
	}
	r.mu.Unlock()
	for id, w := range ids {
		st, err := os.Stat(w.path)
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				r.cfg.Log.Warn("look at a container's log", "container", id, "err", err)
				continue
			}
			// A rotation that was cut short by a crash: the runtime writes to
			// the renamed file until it is asked to reopen.
			if err := r.cfg.Reopen(ctx, id); err != nil {
				r.cfg.Log.Warn("reopen a container's log", "container", id, "err", err)
			}
			continue
		}
		size := st.Size()
		grew = grew || size != w.size
		if size >= r.cfg.MaxSize {
			if err := r.Rotate(ctx, id, w.path); err != nil {
				r.cfg.Log.Warn("rotate a container's log", "container", id, "err", err)
			} else {
				size = 0
			}
		}
		r.mu.Lock()
		if have, ok := r.logs[id]; ok {
			have.size = size
		}
		r.mu.Unlock()
	}
	return grew
}

// Rotate moves one log aside, has the runtime begin a new one, packs older
// ones and removes the oldest.
func (r *Rotator) Rotate(ctx context.Context, containerID, path string) error {
	old, err := tidy(path)
	if err != nil {
		return err
	}
	// Besides these the log itself and the one about to be made count.
	if n := len(old) - (r.cfg.MaxFiles - 2); n > 0 {
		for _, f := range old[:n] {
			if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("failed to remove excess log %q: %w", f, err)
			}
		}
		old = old[n:]
	}
	// A follower may still read the newest of them, so only those before it
	// are packed; by then this one is.
	for _, f := range old {
		if !strings.HasSuffix(f, packed) {
			if err := pack(f); err != nil {
				return fmt.Errorf("failed to compress log %q: %w", f, err)
			}
		}
	}
	aside := path + "." + r.cfg.Clock.Now().Format(stampFormat)
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("failed to rotate log %q to %q: %w", path, aside, err)
	}
	if err := r.cfg.Reopen(ctx, containerID); err != nil {
		// The runtime still writes to what it has open; give it its name back.
		if back := os.Rename(aside, path); back != nil {
			return fmt.Errorf("failed to reopen container log %q: %w; and to rename it back: %w", containerID, err, back)
		}
		return fmt.Errorf("failed to reopen container log %q: %w", containerID, err)
	}
	return nil
}

// Rotated lists a log's rotated files, the oldest first.
func Rotated(path string) ([]string, error) {
	list, err := filepath.Glob(globQuote(path) + ".*")
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(f string) bool { return strings.HasSuffix(f, unfinished) })
	slices.Sort(list)
	return list, nil
}

func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// tidy removes what a killed agent left half packed and lists the rest.
func tidy(path string) ([]string, error) {
	list, err := filepath.Glob(globQuote(path) + ".*" + unfinished)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	list, err = Rotated(path)
	if err != nil {
		return nil, err
	}
	// Packed, but the original not yet removed: the packed one is whole.
	return slices.DeleteFunc(list, func(f string) bool {
		return slices.Contains(list, f+packed) && os.Remove(f) == nil
	}), nil
}

// pack replaces a file by its compressed form, which appears whole.
func pack(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := path + packed + unfinished
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	defer out.Close()
	z := gzip.NewWriter(out)
	if _, err = io.Copy(z, in); err != nil {
		return err
	}
	if err = errors.Join(z.Close(), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp, path+packed); err != nil {
		return err
	}
	return os.Remove(path)
}
