package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// FileOptions bound a log file and those that it was rotated into.
type FileOptions struct {
	// Path of the file; "-" is the standard output, which is not rotated.
	Path string
	// MaxSize in bytes of the file before it is rotated; 0: 100 MiB.
	MaxSize int64
	// MaxBackups is how many rotated files are kept; 0: 10.
	MaxBackups int
	// MaxAge of a rotated file; 0: any.
	MaxAge time.Duration
}

// file is a sink of JSON lines.
type file struct {
	FileOptions
	now func() time.Time
	log *slog.Logger

	mu   sync.Mutex
	out  io.Writer
	file *os.File // nil for the standard output
	size int64
}

// NewFile opens a log file, to be appended to.
func NewFile(o FileOptions, now func() time.Time, log *slog.Logger) (Sink, error) {
	if o.MaxSize == 0 {
		o.MaxSize = 100 << 20
	}
	if o.MaxBackups == 0 {
		o.MaxBackups = 10
	}
	f := &file{FileOptions: o, now: now, log: log, out: os.Stdout}
	if o.Path == "-" {
		return f, nil
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return f, f.open()
}

// open opens the file. Only its owner may read it: it may hold secrets.
func (f *file) open() error {
	out, err := os.OpenFile(f.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	info, err := out.Stat()
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	f.out, f.file, f.size = out, out, info.Size()
	return nil
}

// Take implements Sink.
func (f *file) Take(e *auditv1.Event) {
	b, err := json.Marshal(e)
	if err != nil {
		f.log.Error("an audit event could not be encoded", "auditID", e.AuditID, "err", err)
		return
	}
	b = append(b, '\n')
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil && f.size > 0 && f.size+int64(len(b)) > f.MaxSize {
		if err := f.rotate(); err != nil {
			f.log.Error("the audit log could not be rotated", "path", f.Path, "err", err)
		}
	}
	n, err := f.out.Write(b)
	f.size += int64(n)
	if err != nil {
		f.log.Error("an audit event could not be written", "path", f.Path, "err", err)
	}
}

// stamp names rotated files so that their names sort by age.
const stamp = "2006-01-02T15-04-05.000000000"

func (f *file) rotate() error {
	ext := filepath.Ext(f.Path)
	base := strings.TrimSuffix(f.Path, ext)
	if err := f.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Path, base+"-"+f.now().UTC().Format(stamp)+ext); err != nil {
		return err
	}
	if err := f.open(); err != nil {
		return err
	}
	f.prune(base, ext)
	return nil
}

// prune removes rotated files that are too many or too old.
func (f *file) prune(base, ext string) {
	all, err := filepath.Glob(base + "-*" + ext)
	if err != nil {
		return
	}
	slices.Sort(all)
	slices.Reverse(all)
	kept := 0
	for _, path := range all {
		at, err := time.Parse(stamp, strings.TrimSuffix(strings.TrimPrefix(path, base+"-"), ext))
		if err != nil {
			continue // not one of ours
		}
		if kept++; kept <= f.MaxBackups && (f.MaxAge == 0 || f.now().Sub(at) <= f.MaxAge) {
			continue
		}
		if err := os.Remove(path); err != nil {
			f.log.Warn("an old audit log could not be removed", "path", path, "err", err)
		}
	}
}

// Close implements Sink.
func (f *file) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		_ = f.file.Close() // every event has been written
		f.out, f.file = io.Discard, nil
	}
}
