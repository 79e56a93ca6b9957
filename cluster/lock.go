package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lock is held by the one server of a data directory for as long as it lives;
// the kernel releases it however the process ends.
type Lock struct{ f *os.File }

// AcquireLock takes the lock of a data directory, or says who holds it.
func AcquireLock(c *Config) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(c.LockFile()), 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(c.LockFile(), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by process %d: stop that cluster with \"proa down\", or choose another --data-dir", c.DataDir, readPID(c.LockFile()))
		}
		return nil, fmt.Errorf("lock %s: %w", c.LockFile(), err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("write %s: %w", c.LockFile(), err)
		}
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() { l.f.Close() }

// Running returns the process that holds the lock of a data directory, or 0.
func Running(c *Config) (pid int, err error) {
	f, err := os.Open(c.LockFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open the lock of the data directory: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return 0, nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, fmt.Errorf("lock %s: %w", c.LockFile(), err)
	}
	if pid = readPID(c.LockFile()); pid == 0 {
		return 0, fmt.Errorf("%s is locked by a process that has not written its id yet; try again", c.LockFile())
	}
	return pid, nil
}

func readPID(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}
