package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	v1 "k8s.io/api/core/v1"
)

// settle is how long the folder must be quiet before it is read: editors write in
// several steps.
const settle = 20 * time.Millisecond

// File brings pods from a folder of manifests, or from one manifest file.
type File struct {
	Path   string
	Static Static
	Sink   Sink
	// Every is the pause between readings that no event asked for.
	Every time.Duration
	Log   *slog.Logger
}

// Run follows the folder until ctx ends. A manifest that cannot be read is
// skipped with a log line; the pods it used to hold are kept as they are.
func (f *File) Run(ctx context.Context) error {
	events, errs, closeWatch := f.watch()
	defer func() { closeWatch() }()
	every := f.Every
	if every <= 0 {
		every = 20 * time.Second
	}
	k := &known{sink: f.Sink}
	last := map[string][]*v1.Pod{}
	spoken := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			timer.Reset(settle)
			continue
		case err := <-errs:
			// Most likely an overflow: read everything.
			f.Log.Warn("the manifest folder's events are incomplete; reading it anew", "path", f.Path, "error", err)
			timer.Reset(settle)
			continue
		case <-timer.C:
		}
		if pods, err := f.read(last); err != nil {
			f.Log.Warn("static pods cannot be read; will retry", "path", f.Path, "error", err)
		} else {
			k.replace(pods)
		}
		if !spoken {
			spoken = true
			f.Sink.Synced()
		}
		if events == nil { // the folder may have appeared since
			events, errs, closeWatch = f.watch()
		}
		timer.Reset(every)
	}
}

// watch follows changes of the folder. Without it, the slow reading remains.
func (f *File) watch() (<-chan fsnotify.Event, <-chan error, func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		f.Log.Warn("the manifest folder is not watched, only read now and then", "path", f.Path, "error", err)
		return nil, nil, func() {}
	}
	dir := f.Path
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir) // files are replaced, folders stay
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			f.Log.Warn("the manifest folder is not watched, only read now and then", "path", f.Path, "error", err)
		}
		return nil, nil, func() {}
	}
	return w.Events, w.Errors, func() { _ = w.Close() }
}

// read returns the pods of all manifests. last holds what each file was read as
// the time before.
func (f *File) read(last map[string][]*v1.Pod) ([]*v1.Pod, error) {
	paths, err := f.list()
	if err != nil {
		return nil, err
	}
	var out []*v1.Pod
	seen := map[string]bool{}
	for _, path := range paths {
		seen[path] = true
		pods, err := f.load(path)
		if errors.Is(err, fs.ErrNotExist) {
			delete(last, path)
			continue
		}
		if err != nil {
			f.Log.Error("static pod manifest skipped; correct it or move it away", "error", err)
			pods = last[path]
		}
		last[path] = pods
		out = append(out, pods...)
	}
	for path := range last {
		if !seen[path] {
			delete(last, path)
		}
	}
	return out, nil
}

// list returns the manifest files. Names that begin with a dot are not manifests.
func (f *File) list() ([]string, error) {
	info, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{f.Path}, nil
	}
	entries, err := os.ReadDir(f.Path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(f.Path, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			out = append(out, path)
		}
	}
	return out, nil
}

func (f *File) load(path string) ([]*v1.Pod, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxManifest)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pods, err := f.Static.Decode(data, path)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if err := f.Static.Prepare(p, path); err != nil {
			return nil, err
		}
	}
	return pods, nil
}
