package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options select what Read writes; they mirror PodLogOptions.
type Options struct {
	// Follow waits for more until Running says that the container ended.
	Follow bool
	// Tail is the number of last entries, negative for all.
	Tail int64
	// Since drops older entries unless zero.
	Since time.Time
	// LimitBytes ends the output after so many bytes; nil is no limit.
	LimitBytes *int64
	// Timestamps prefixes each line with its time.
	Timestamps bool
	// Running tells whether the container may still write. Needed to follow.
	Running func(ctx context.Context) (bool, error)
}

const (
	// maxEntry bounds one line of a log file; runtimes split at 16 KiB.
	maxEntry = 1 << 20
	// While a follower's container may have ended, it is asked for after
	// endFirst, doubling; otherwise after endMax.
	endFirst, endMax = 20 * time.Millisecond, 10 * time.Second
)

// errLimit ends the output at its limit.
var errLimit = errors.New("limit reached")

// Read copies the log at path to stdout and stderr; either may be nil to leave
// that stream out. A cancelled ctx ends it without an error, as the reader went
// away.
func Read(ctx context.Context, path string, o Options, stdout, stderr io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("failed to try resolving symlinks in path %q: %w", path, err)
	}
	r := &reader{path: path, o: o, out: newOutput(o, stdout, stderr), f: f}
	defer func() { r.f.Close() }()
	if o.Follow {
		// Before the first read, so that nothing is missed between.
		if r.watch, err = newWatch(filepath.Dir(path)); err != nil {
			return err
		}
		defer r.watch.Close()
		defer context.AfterFunc(ctx, r.watch.Close)()
	}
	if o.Tail >= 0 {
		if err := seekTail(f, o.Tail); err != nil {
			return err
		}
	}
	r.buf = bufio.NewReaderSize(f, 64<<10)
	err = r.run(ctx)
	if errors.Is(err, errLimit) || ctx.Err() != nil {
		return nil
	}
	return err
}

type reader struct {
	path  string
	o     Options
	out   *output
	f     *os.File
	buf   *bufio.Reader
	part  []byte // of a line whose end is not written yet
	watch *watch
}

func (r *reader) run(ctx context.Context) error {
	pause := endMax
	for ctx.Err() == nil {
		progress, err := r.drain()
		if err != nil {
			return err
		}
		if !r.o.Follow {
			return r.rest()
		}
		moved, err := r.rotated()
		if err != nil {
			return err
		}
		if moved || progress {
			continue
		}
		what, err := r.watch.wait(ctx, pause)
		if err != nil {
			return err
		}
		switch what {
		case wroteMore:
			continue
		case closedOrMoved:
			pause = endFirst
		case nothing:
			pause = min(2*pause, endMax)
		}
		running, err := r.o.Running(ctx)
		if err != nil {
			return err
		}
		if !running {
			return r.toTheEnd()
		}
	}
	return nil
}

// toTheEnd reads what a container that has ended has left, also in files that came
// after the one that is being read.
func (r *reader) toTheEnd() error {
	for {
		if _, err := r.drain(); err != nil {
			return err
		}
		if moved, err := r.rotated(); err != nil || !moved {
			return errors.Join(err, r.rest())
		}
	}
}

// drain writes every whole line there is.
func (r *reader) drain() (progress bool, err error) {
	for {
		line, err := r.buf.ReadSlice('\n')
		if len(line) > 0 {
			progress = true
		}
		switch {
		case err == nil:
			if len(r.part) > 0 {
				line = append(r.part, line...)
			}
			if werr := r.out.line(line); werr != nil {
				return progress, werr
			}
			r.part = r.part[:0]
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			r.part = append(r.part, line...)
			if len(r.part) > maxEntry {
				return progress, fmt.Errorf("log %s has a line of more than %d bytes", r.path, maxEntry)
			}
			if errors.Is(err, io.EOF) {
				return progress, nil
			}
		default:
			return progress, fmt.Errorf("failed to read log file %q: %w", r.path, err)
		}
	}
}

// rest writes a last line that lacks its end.
func (r *reader) rest() error {
	if len(r.part) == 0 {
		return nil
	}
	return r.out.line(r.part)
}

// rotated goes over to the new file once there is one at the path.
func (r *reader) rotated() (bool, error) {
	now, err := os.Stat(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // between rename and reopening, or gone for good
	}
	if err != nil {
		return false, err
	}
	have, err := r.f.Stat()
	if err != nil {
		return false, err
	}
	if os.SameFile(now, have) {
		return false, nil
	}
	// What came between the last read and the rename.
	if _, err := r.drain(); err != nil {
		return false, err
	}
	f, err := r.successor(have)
	if err != nil {
		return false, nil // it is being rotated once more
	}
	if err := r.rest(); err != nil {
		f.Close()
		return false, err
	}
	r.f.Close()
	r.f, r.part = f, r.part[:0]
	r.buf.Reset(f)
	return true, nil
}

// successor opens the file that was written after the one that is being read. A
// slow reader may find that it has been rotated away too.
func (r *reader) successor(have os.FileInfo) (*os.File, error) {
	// Opened before the others are listed: what is at the path now stays the
	// successor, or is listed.
	newest, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	rotated, err := filepath.Glob(globEscape(r.path) + ".*") // in the order of time
	if err != nil {
		newest.Close()
		return nil, fmt.Errorf("rotated files of %s: %w", r.path, err)
	}
	mine := slices.IndexFunc(rotated, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && os.SameFile(info, have)
	})
	if mine < 0 || mine+1 == len(rotated) {
		return newest, nil
	}
	if next, err := os.Open(rotated[mine+1]); err == nil && !strings.HasSuffix(next.Name(), packed) && !strings.HasSuffix(next.Name(), unfinished) {
		newest.Close()
		return next, nil
	} else if err == nil {
		next.Close()
	}
	return newest, nil
}

// globEscape makes a pattern that matches a path and nothing else.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// output filters and formats entries.
type output struct {
	o       Options
	streams map[Stream]io.Writer
	left    int64 // bytes, negative for no limit
	inLine  map[Stream]bool
}

func newOutput(o Options, stdout, stderr io.Writer) *output {
	out := &output{o: o, streams: map[Stream]io.Writer{}, left: -1, inLine: map[Stream]bool{}}
	if stdout != nil {
		out.streams[Stdout] = stdout
	}
	if stderr != nil {
		out.streams[Stderr] = stderr
	}
	if o.LimitBytes != nil {
		out.left = *o.LimitBytes
	}
	return out
}

// line writes one line of the file. What is no entry is skipped: a crash of
// the machine may leave zeros.
func (w *output) line(line []byte) error {
	e, err := ParseEntry(line)
	if err != nil || e.Time.Before(w.o.Since) {
		return nil
	}
	to := w.streams[e.Stream]
	if to == nil {
		return nil
	}
	if w.o.Timestamps && !w.inLine[e.Stream] {
		if err := w.write(to, e.Time.AppendFormat(nil, "2006-01-02T15:04:05.000000000Z07:00 ")); err != nil {
			return err
		}
	}
	w.inLine[e.Stream] = e.Partial
	return w.write(to, e.Text)
}

func (w *output) write(to io.Writer, b []byte) error {
	if w.left >= 0 {
		if int64(len(b)) >= w.left {
			_, err := to.Write(b[:w.left])
			return errors.Join(errLimit, err)
		}
		w.left -= int64(len(b))
	}
	_, err := to.Write(b)
	return err
}

// seekTail moves to the start of the last n lines, reading from the end.
func seekTail(f *os.File, n int64) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n == 0 {
		return err
	}
	block := make([]byte, 64<<10)
	// The newline that ends the last line is not the end of one before it.
	pos, first := end, true
	for pos > 0 {
		size := min(pos, int64(len(block)))
		pos -= size
		b := block[:size]
		if _, err := f.ReadAt(b, pos); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if first {
			first = false
			b = bytes.TrimSuffix(b, []byte{'\n'})
		}
		for {
			i := bytes.LastIndexByte(b, '\n')
			if i < 0 {
				break
			}
			if n--; n == 0 {
				_, err := f.Seek(pos+int64(i)+1, io.SeekStart)
				return err
			}
			b = b[:i]
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}
