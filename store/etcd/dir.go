package etcd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.etcd.io/etcd/api/v3/version"

	"proa/store"
)

// The data directory holds, beside what etcd keeps in "member":
//
//	lock    locked by the process that uses the directory; says its pid
//	format  the format of the directory, and the version of etcd in it

// format of the data directory that this version writes. Raise it with a
// change after which older versions must not open it.
const format = 1

// minSpace is what etcd needs to begin: it sets aside space for its log.
const minSpace = 192 << 20

// dir is a data directory that this process has to itself.
type dir struct {
	path string
	lock *os.File
}

// openDir makes, checks and locks a data directory.
func openDir(path string) (*dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, openError(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, openError(path, err)
	}
	d := &dir{path: path, lock: lock}
	if err := d.check(); err != nil {
		_ = lock.Close() // the error at hand matters more
		return nil, openError(path, err)
	}
	return d, nil
}

func (d *dir) check() error {
	if err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if err == syscall.EWOULDBLOCK {
			return fmt.Errorf("%w: %s is locked by process %s: stop it, or choose another directory", ErrLocked, d.path, d.owner())
		}
		return err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.path, &st); err != nil {
		return err
	}
	if free := st.Bavail * uint64(st.Bsize); free < minSpace {
		return fmt.Errorf("%w: %s has %d MiB free, and etcd needs %d: free some disk space and start again",
			store.ErrNoSpace, d.path, free>>20, minSpace>>20)
	}
	if err := d.checkFormat(); err != nil {
		return err
	}
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// owner is the pid in the lock file, for the message.
func (d *dir) owner() string {
	b := make([]byte, 32)
	n, _ := d.lock.ReadAt(b, 0) // at worst nothing is read
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return pid
	}
	return "(unknown)"
}

// checkFormat compares the format file with this version, and writes it where
// the directory is new or older.
func (d *dir) checkFormat() error {
	file := filepath.Join(d.path, "format")
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	var was int
	var etcd string
	if n, _ := fmt.Sscanf(string(b), "proa-store %d etcd %s", &was, &etcd); n == 2 {
		if was > format || newer(etcd, version.Version) {
			return fmt.Errorf("%w: %s has format %d of etcd %s, and this version knows format %d of etcd %s: use the version that wrote it, or restore a backup",
				ErrNewer, d.path, was, etcd, format, minor(version.Version))
		}
	}
	now := fmt.Sprintf("proa-store %d etcd %s\n", format, minor(version.Version))
	if string(b) == now {
		return nil
	}
	return writeFile(file, now)
}

// writeFile replaces a file so that a crash leaves the old or the new one.
func writeFile(file, text string) error {
	tmp := file + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	err = parent.Sync()
	if e := parent.Close(); err == nil {
		err = e
	}
	return err
}

// minor returns the first two numbers of a version.
func minor(v string) string {
	p := strings.SplitN(v, ".", 3)
	if len(p) < 2 {
		return v
	}
	return p[0] + "." + p[1]
}

// newer reports whether the minor version a is after b. What cannot be read is
// not.
func newer(a, b string) bool {
	var a1, a2, b1, b2 int
	if n, _ := fmt.Sscanf(minor(a), "%d.%d", &a1, &a2); n != 2 {
		return false
	}
	if n, _ := fmt.Sscanf(minor(b), "%d.%d", &b1, &b2); n != 2 {
		return false
	}
	return a1 > b1 || a1 == b1 && a2 > b2
}

// close gives the directory back.
func (d *dir) close() error { return d.lock.Close() }
