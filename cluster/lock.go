package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lock is held by the one server of a data directory for as long as it lives;
// the kernel releases it however the process ends.
//
// It is two locks of one file. Who has the first byte owns the directory; who
// has the second as well has written its process id into the file. So whoever
// looks takes no lock, and never believes an id that a former owner has left.
type Lock struct{ f *os.File }

// The bytes that are locked.
const (
	ownerByte = iota
	idByte
)

// AcquireLock takes the lock of a data directory, or says who holds it.
func AcquireLock(c *Config) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(c.LockFile()), 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(c.LockFile(), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data directory: %w", err)
	}
	if err := own(f); err != nil {
		pid, _ := owner(f)
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, inUse(c, pid)
		}
		return nil, fmt.Errorf("lock %s: %w", c.LockFile(), err)
	}
	return &Lock{f}, nil
}

func inUse(c *Config, pid int) error {
	by := "a process that starts or ends right now"
	if pid != 0 {
		by = fmt.Sprintf("process %d", pid)
	}
	return fmt.Errorf("%s is in use by %s: stop that cluster with \"proa down\", or choose another --data-dir", c.DataDir, by)
}

// own locks the first byte, writes the process id, and locks the second.
func own(f *os.File) error {
	if err := lockByte(f, ownerByte); err != nil {
		return err
	}
	// Of one width, so that it replaces a former one as a whole.
	if _, err := f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("write the process id: %w", err)
	}
	return lockByte(f, idByte)
}

func lockByte(f *os.File, n int64) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: n, Len: 1})
}

// locked reports whether another open file has a byte locked.
func locked(f *os.File, n int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: n, Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l)
	return l.Type != unix.F_UNLCK, err
}

// Release gives the lock back.
func (l *Lock) Release() { l.f.Close() }

// errStarting: somebody has the lock and has not said yet who it is.
var errStarting = errors.New("is locked by a process that starts or ends right now; try again")

// Running returns the process that holds the lock of a data directory, or 0. It
// disturbs nobody who wants the lock.
func Running(c *Config) (pid int, err error) {
	f, err := os.Open(c.LockFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open the lock of the data directory: %w", err)
	}
	defer f.Close()
	if pid, err = owner(f); err != nil {
		return 0, fmt.Errorf("%s %w", c.LockFile(), err)
	}
	return pid, nil
}

// owner is the process that holds the locks of a file, 0 where none does.
func owner(f *os.File) (int, error) {
	held, err := locked(f, ownerByte)
	if err != nil || !held {
		return 0, err
	}
	if known, err := locked(f, idByte); err != nil {
		return 0, err
	} else if !known {
		return 0, errStarting
	}
	b := make([]byte, 16)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid <= 0 {
		return 0, errStarting
	}
	return pid, nil
}
