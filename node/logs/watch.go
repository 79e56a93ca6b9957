package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// happening is what a watch saw.
type happening int

const (
	nothing happening = iota // for as long as was waited
	wroteMore
	closedOrMoved
)

// watch is an inotify watch of one directory. Unlike the portable library it
// tells when a writer closes its file, which is how a container's end shows.
type watch struct {
	f    *os.File
	once sync.Once
	buf  [16 << 10]byte
}

func newWatch(dir string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w (raise fs.inotify.max_user_instances?)", dir, err)
	}
	// os.NewFile sees that it is non-blocking and lets the poller wait for it.
	w := &watch{f: os.NewFile(uintptr(fd), "inotify")}
	const mask = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_DELETE_SELF
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return w, nil
}

// Close ends the watch and whatever waits for it.
func (w *watch) Close() { w.once.Do(func() { w.f.Close() }) }

// wait returns once something happened in the directory, or after the pause.
// Several happenings are told as one.
func (w *watch) wait(ctx context.Context, pause time.Duration) (happening, error) {
	if err := w.f.SetReadDeadline(time.Now().Add(pause)); err != nil {
		if ctx.Err() != nil {
			return nothing, ctx.Err()
		}
		return nothing, err
	}
	n, err := w.f.Read(w.buf[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nothing, nil
	}
	if ctx.Err() != nil {
		return nothing, ctx.Err()
	}
	if err != nil {
		return nothing, fmt.Errorf("watch logs: %w", err)
	}
	what := wroteMore
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&w.buf[at]))
		if e.Mask&^unix.IN_MODIFY != 0 {
			what = closedOrMoved
		}
		at += unix.SizeofInotifyEvent + int(e.Len)
	}
	return what, nil
}
