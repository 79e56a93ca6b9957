// Package beneath works on files below a directory that somebody else may
// write to, as the agent, without being led out of it.
//
// A container can replace any directory of its volumes by a symbolic link at
// any moment, so a path that was checked is worth nothing by the time it is
// used. Here every path is resolved by the kernel below an open directory
// (openat2 with RESOLVE_BENEATH), and what is done then is done to the
// resulting descriptor. Links that stay below the directory are followed where
// a function says so; links that lead out are errors.
package beneath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// retries bounds how often a resolution is tried again that the kernel gave up
// because something was renamed meanwhile.
const retries = 64

// OpenRoot opens a directory whose own path is trusted.
func OpenRoot(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// Open resolves path below root, following links that stay below it, and opens
// it with the flags (O_CLOEXEC is added).
func Open(root *os.File, path string, flags int, mode fs.FileMode) (*os.File, error) {
	return open(root, path, flags, mode, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS)
}

// OpenNoLinks is Open that follows no link at all.
func OpenNoLinks(root *os.File, path string, flags int, mode fs.FileMode) (*os.File, error) {
	return open(root, path, flags, mode, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
}

func open(root *os.File, path string, flags int, mode fs.FileMode, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode.Perm())
	}
	for range retries {
		fd, err := unix.Openat2(int(root.Fd()), path, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), filepath.Join(root.Name(), path)), nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		}
		return nil, &fs.PathError{Op: "openat2", Path: filepath.Join(root.Name(), path), Err: err}
	}
	return nil, &fs.PathError{Op: "openat2", Path: filepath.Join(root.Name(), path), Err: unix.EAGAIN}
}

// MkdirAll makes path and its parents below root, each with exactly the given
// mode, following links that stay below it, and opens the last (O_PATH).
func MkdirAll(root *os.File, path string, mode fs.FileMode) (*os.File, error) {
	path = filepath.Clean(path)
	if !filepath.IsLocal(path) {
		return nil, fmt.Errorf("%q leads out of %s", path, root.Name())
	}
	cur, err := Open(root, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	done := ""
	for part := range strings.SplitSeq(path, string(filepath.Separator)) {
		done = filepath.Join(done, part)
		// From the root each time, so that a link may lead anywhere below it.
		next, err := Open(root, done, unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.ENOENT) {
			err = unix.Mkdirat(int(cur.Fd()), part, uint32(mode.Perm()))
			if err == nil || errors.Is(err, unix.EEXIST) {
				made := err == nil
				next, err = OpenNoLinks(cur, part, unix.O_RDONLY|unix.O_DIRECTORY, 0)
				if err == nil && made {
					// Again, without the umask.
					err = unix.Fchmod(int(next.Fd()), unixMode(mode))
				}
			}
		}
		cur.Close()
		if err != nil {
			if next != nil {
				next.Close()
			}
			return nil, fmt.Errorf("make directory %s below %s: %w", done, root.Name(), err)
		}
		cur = next
	}
	return cur, nil
}

// RemoveAll removes name, a single component of dir, and what is below it. It
// follows no link and crosses into no other file system or mount: whatever is
// still mounted there is an error, never deleted.
func RemoveAll(dir *os.File, name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, filepath.Separator) {
		return fmt.Errorf("remove %q below %s: not a name", name, dir.Name())
	}
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return &fs.PathError{Op: "unlinkat", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	sub, err := open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		// Names in batches, from the start each time, as what was read is gone.
		names, err := sub.Readdirnames(256)
		for _, n := range names {
			if err := RemoveAll(sub, n); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			if err != nil && err.Error() != "EOF" {
				return err
			}
			break
		}
	}
	if err := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}

// Proc is a path by which the kernel finds the open file itself, whatever its
// name leads to by now.
func Proc(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

func unixMode(m fs.FileMode) uint32 {
	u := uint32(m.Perm())
	if m&fs.ModeSetgid != 0 {
		u |= unix.S_ISGID
	}
	if m&fs.ModeSetuid != 0 {
		u |= unix.S_ISUID
	}
	if m&fs.ModeSticky != 0 {
		u |= unix.S_ISVTX
	}
	return u
}
