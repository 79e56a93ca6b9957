package cri

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"proa/node/volume/beneath"
)

type subPathError struct {
	creating bool
	err      error
}

func (e *subPathError) Error() string { return e.err.Error() }
func (e *subPathError) Unwrap() error { return e.err }

// subPath makes path/sub available at a place that no container can touch, and
// returns that place: a bind mount of the very file that was resolved below
// the volume (CVE-2017-1002101, CVE-2021-25741). A missing directory is made,
// with the volume's mode.
func subPath(volume, sub, dir string, index int) (string, error) {
	root, err := beneath.OpenRoot(volume)
	if err != nil {
		return "", &subPathError{err: err}
	}
	defer root.Close()
	f, err := beneath.Open(root, sub, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) {
		var st os.FileInfo
		if st, err = os.Stat(beneath.Proc(root)); err == nil {
			f, err = beneath.MkdirAll(root, sub, st.Mode())
		}
		if err != nil {
			return "", &subPathError{creating: true, err: err}
		}
	}
	if err != nil {
		return "", &subPathError{err: err}
	}
	defer f.Close()
	target := filepath.Join(dir, strconv.Itoa(index))
	if err := bindFile(f, target); err != nil {
		return "", &subPathError{err: fmt.Errorf("bind %s to %s: %w", f.Name(), target, err)}
	}
	return target, nil
}

// bindFile mounts an open file or directory at target, replacing what an
// earlier attempt mounted there.
func bindFile(f *os.File, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	for {
		err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err == nil {
			continue // mounts may be stacked
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		return err
	}
	st, err := os.Stat(beneath.Proc(f))
	if err != nil {
		return err
	}
	if st.IsDir() {
		if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
			return err
		}
		err = os.Mkdir(target, 0o750)
	} else {
		var t *os.File
		if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
			return err
		}
		if t, err = os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640); err == nil {
			err = t.Close()
		}
	}
	if err != nil {
		return err
	}
	return unix.Mount(beneath.Proc(f), target, "", unix.MS_BIND, "")
}
