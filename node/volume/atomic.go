package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"proa/node/volume/beneath"
)

// file is one file of a payload.
type file struct {
	data []byte
	mode fs.FileMode
	// uid owns the file, if not nil.
	uid *int64
}

// payload is what a volume shall show: files by path relative to the volume.
type payload map[string]file

const (
	dataLink    = "..data"
	dataLinkNew = "..data_tmp"
	// Limits of path and name, in bytes.
	maxPath = 4096
	maxName = 255
)

// checkPaths refuses names that could lead out of the volume or collide with
// the writer's own.
func (p payload) checkPaths() error {
	for name := range p {
		switch {
		case name == "" || filepath.IsAbs(name):
			return fmt.Errorf("invalid path: must be relative path: %s", name)
		case len(name) > maxPath:
			return fmt.Errorf("invalid path: must be less than or equal to %d characters", maxPath)
		case strings.HasPrefix(name, ".."):
			return fmt.Errorf("invalid path: must not start with '..': %s", name)
		}
		for part := range strings.SplitSeq(filepath.Clean(name), "/") {
			if part == ".." {
				return fmt.Errorf("invalid path: must not contain '..': %s", name)
			}
			if len(part) > maxName {
				return fmt.Errorf("invalid path: filenames must be less than or equal to %d characters", maxName)
			}
		}
	}
	return nil
}

// writeAtomically makes dir show exactly the payload, so that a reader sees
// either all the old or all the new content:
//
//	dir/..2026_11_21_02_00_00.123/a/b   the files, in a directory of their own
//	dir/..data -> ..2026_11_21…         replaced by rename
//	dir/a -> ..data/a                   what users open
//
// own sets ownership and mode of the finished new directory before it is
// shown. Nothing happens if the content is there already; changed says whether
// it did. dir's own path must be trusted; what is in it need not be, and no
// link in it is followed (CVE-2017-1002102).
func writeAtomically(dir string, p payload, own func(*os.File) error, now time.Time) (changed bool, err error) {
	if err := p.checkPaths(); err != nil {
		return false, err
	}
	clean := make(payload, len(p))
	for name, f := range p {
		clean[filepath.Clean(name)] = f
	}
	p = clean
	root, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	old, err := readLink(root, dataLink)
	if err != nil {
		return false, err
	}
	if old != "" && same(root, old, p) {
		return false, sweep(root, old, p)
	}
	ts, err := writeNew(root, p, own, now)
	if err != nil {
		return false, err
	}
	if err := publish(root, ts); err != nil {
		_ = beneath.RemoveAll(root, ts)
		return false, err
	}
	return true, sweep(root, ts, p)
}

// readLink reads a link of the writer's own; anything that is not the name of
// a directory beside it counts as absent.
func readLink(root *os.File, name string) (string, error) {
	buf := make([]byte, maxName+1)
	n, err := unix.Readlinkat(int(root.Fd()), name, buf)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return "", nil
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: filepath.Join(root.Name(), name), Err: err}
	}
	to := string(buf[:n])
	if strings.ContainsRune(to, '/') || !strings.HasPrefix(to, "..") || to == ".." {
		return "", nil
	}
	return to, nil
}

// same says whether the directory ts holds exactly the payload.
func same(root *os.File, ts string, p payload) bool {
	dir, err := beneath.OpenNoLinks(root, ts, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false
	}
	defer dir.Close()
	seen := 0
	ok := true
	var walk func(d *os.File, at string)
	walk = func(d *os.File, at string) {
		names, err := d.Readdirnames(-1)
		ok = ok && err == nil
		for _, n := range names {
			if !ok {
				return
			}
			f, err := beneath.OpenNoLinks(d, n, unix.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				ok = false
				return
			}
			path := filepath.Join(at, n)
			st, err := f.Stat()
			switch {
			case err != nil:
				ok = false
			case st.IsDir():
				walk(f, path)
			default:
				want, exists := p[path]
				ok = ok && exists && st.Mode().IsRegular() && st.Size() == int64(len(want.data)) && equal(f, want.data)
				seen++
			}
			f.Close()
		}
	}
	walk(dir, "")
	return ok && seen == len(p)
}

func equal(r io.Reader, want []byte) bool {
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
	return err == nil && bytes.Equal(got, want)
}

// writeNew writes the payload into a new directory and returns its name.
func writeNew(root *os.File, p payload, own func(*os.File) error, now time.Time) (name string, err error) {
	for range 100 {
		name = fmt.Sprintf("%s.%d", now.UTC().Format("..2006_01_02_15_04_05"), rand.Uint32())
		if err = unix.Mkdirat(int(root.Fd()), name, 0o755); !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if err != nil {
		return "", &fs.PathError{Op: "mkdir", Path: filepath.Join(root.Name(), name), Err: err}
	}
	made := name
	defer func() {
		if err != nil {
			_ = beneath.RemoveAll(root, made)
		}
	}()
	dir, err := beneath.OpenNoLinks(root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	if err := dir.Chmod(0o755); err != nil {
		return "", err
	}
	for _, path := range slices.Sorted(maps.Keys(p)) {
		if err := writeFile(dir, path, p[path]); err != nil {
			return "", fmt.Errorf("write %s: %w", path, err)
		}
	}
	if own != nil {
		if err := own(dir); err != nil {
			return "", err
		}
	}
	return name, nil
}

func writeFile(dir *os.File, path string, f file) error {
	if d := filepath.Dir(path); d != "." {
		sub, err := beneath.MkdirAll(dir, d, 0o755)
		if err != nil {
			return err
		}
		sub.Close()
	}
	w, err := beneath.OpenNoLinks(dir, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(f.data); err != nil {
		return err
	}
	// Again, without the umask.
	if err := w.Chmod(f.mode); err != nil {
		return err
	}
	if f.uid != nil {
		if err := w.Chown(int(*f.uid), -1); err != nil {
			return err
		}
	}
	return w.Close()
}

// publish points ..data at the new directory in one step.
func publish(root *os.File, ts string) error {
	fd := int(root.Fd())
	if err := beneath.RemoveAll(root, dataLinkNew); err != nil {
		return err
	}
	if err := unix.Symlinkat(ts, fd, dataLinkNew); err != nil {
		return &fs.PathError{Op: "symlink", Path: filepath.Join(root.Name(), dataLinkNew), Err: err}
	}
	err := unix.Renameat(fd, dataLinkNew, fd, dataLink)
	if errors.Is(err, unix.EISDIR) {
		// Not a link: nothing of the writer's. Away with it.
		if err = beneath.RemoveAll(root, dataLink); err == nil {
			err = unix.Renameat(fd, dataLinkNew, fd, dataLink)
		}
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: filepath.Join(root.Name(), dataLink), Err: err}
	}
	return nil
}

// sweep brings the visible links up to date with the payload and removes all
// else, such as the directories of earlier writes, finished or not.
func sweep(root *os.File, ts string, p payload) error {
	want := map[string]bool{}
	for path := range p {
		top, _, _ := strings.Cut(path, "/")
		want[top] = true
	}
	for top := range want {
		to := filepath.Join(dataLink, top)
		buf := make([]byte, maxPath)
		if n, err := unix.Readlinkat(int(root.Fd()), top, buf); err == nil && string(buf[:n]) == to {
			continue
		}
		if err := beneath.RemoveAll(root, top); err != nil {
			return err
		}
		if err := unix.Symlinkat(to, int(root.Fd()), top); err != nil {
			return &fs.PathError{Op: "symlink", Path: filepath.Join(root.Name(), top), Err: err}
		}
	}
	if _, err := root.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := root.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == dataLink || n == ts || want[n] {
			continue
		}
		if err := beneath.RemoveAll(root, n); err != nil {
			return err
		}
	}
	return nil
}
