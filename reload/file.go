package reload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// MaxSize bounds a configuration file, in bytes.
const MaxSize = 4 << 20

// settled is how long a folder must be quiet before the file is read: those who
// write in place are then done.
const settled = 50 * time.Millisecond

// often is how often the file is read although nothing was heard of it.
const often = time.Minute

// Read returns the contents of a configuration file.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes, which no configuration is", path, MaxSize)
	}
	return data, nil
}

// File is a configuration file to be followed.
type File struct {
	Path string
	// Loaded is what the program runs with at the beginning.
	Loaded []byte
	// Load takes new contents into force, or says what is wrong with them. It is
	// called by one goroutine.
	Load func(ctx context.Context, data []byte) error
	Log  *slog.Logger
}

// Follow loads the file whenever its contents change, until ctx ends.
func (f *File) Follow(ctx context.Context) {
	events, errs, stop := f.watch()
	defer stop()
	last := sha256.Sum256(f.Loaded)
	timer := time.NewTimer(settled)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			timer.Reset(settled)
			continue
		case err, ok := <-errs:
			if !ok {
				errs = nil
			} else {
				f.Log.Warn("changes of a configuration file may be noticed late", "path", f.Path, "err", err)
			}
			continue
		case <-timer.C:
			timer.Reset(often)
		}
		data, err := Read(f.Path)
		if err != nil {
			f.Log.Error("a configuration file cannot be read; what was loaded before stays in force", "path", f.Path, "err", err)
			continue
		}
		now := sha256.Sum256(data)
		if bytes.Equal(now[:], last[:]) {
			continue
		}
		last = now
		if err := f.Load(ctx, data); err != nil {
			f.Log.Error("a configuration file was changed, but cannot be used; what was loaded before stays in force until it is corrected",
				"path", f.Path, "err", err)
			continue
		}
		f.Log.Info("a configuration file was changed, and is in force", "path", f.Path)
	}
}

// watch follows the folder of the file, and that of what it is a link to.
func (f *File) watch() (<-chan fsnotify.Event, <-chan error, func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		f.Log.Warn("a configuration file is not watched, only read now and then", "path", f.Path, "err", err)
		return nil, nil, func() {}
	}
	dirs := []string{filepath.Dir(f.Path)}
	if real, err := filepath.EvalSymlinks(f.Path); err == nil && filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range dirs {
		if err := w.Add(dir); err != nil {
			f.Log.Warn("a configuration file is not watched, only read now and then", "path", f.Path, "err", err)
		}
	}
	return w.Events, w.Errors, func() { _ = w.Close() }
}
