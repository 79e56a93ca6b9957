package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	csandbox "github.com/containerd/containerd/v2/core/sandbox"
	"golang.org/x/sys/unix"
)

// CRI pins a pod's network namespace before it records the path in the sandbox. A
// process that is killed in between leaves one that nobody knows of: it holds no
// interface and no address yet, and would stay for ever.

// pinned lists the network namespaces that lie in State, by name. The ones that are
// there before anything runs are those of earlier processes.
func pinned(state string) ([]string, error) {
	entries, err := os.ReadDir(NetNSDir(state))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// unclaimed picks the names that no sandbox's record has in it. The record is of a
// type of CRI's own; names are unique, so it need not be understood. Pure.
func unclaimed(names []string, sandboxes []csandbox.Sandbox) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(sandboxes, func(sb csandbox.Sandbox) bool {
			for _, e := range sb.Extensions {
				if bytes.Contains(e.GetValue(), []byte(name)) {
					return true
				}
			}
			return false
		})
	})
}

// unpin removes network namespaces. What is gone already is fine.
func unpin(state string, names []string) error {
	var errs []error
	for _, name := range names {
		path := filepath.Join(NetNSDir(state), name)
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove network namespace %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}
