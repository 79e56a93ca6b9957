package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files is the little that the package needs of a directory. Names are
// relative, with slashes.
type Files interface {
	// Read returns an error that is fs.ErrNotExist where the file is missing.
	Read(name string) ([]byte, error)
	// Write replaces a file atomically, readable by its owner only. With
	// durable it returns once the content and the name are on the disk.
	Write(name string, data []byte, durable bool) error
}

// Dir is a directory of the file system. It is made at the first write.
type Dir string

// Read returns the content of a file.
func (d Dir) Read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), filepath.FromSlash(name)))
}

// Write replaces a file atomically.
func (d Dir) Write(name string, data []byte, durable bool) error {
	return writeFile(filepath.Join(string(d), filepath.FromSlash(name)), data, durable)
}

// writeFile replaces the file at path through a temporary one beside it.
func writeFile(path string, data []byte, durable bool) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// CreateTemp opens with mode 0600.
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if durable {
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if durable {
		return syncDir(dir)
	}
	return nil
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readOptional returns nil and no error for a missing file.
func readOptional(f Files, name string) ([]byte, error) {
	b, err := f.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}
