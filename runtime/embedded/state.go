package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// stateMount is the name under which a State that is a tmpfs of ours shows in the
// list of mounts, and stateSize its limit: a pod takes some 100 kB there.
const (
	stateMount = "proa-state"
	stateSize  = "50%"
)

// PrepareState makes the directory State and, if it is on a disk and empty, mounts
// a tmpfs there. Start does it too; call it before, if something else is to be
// kept in State.
//
// State holds what ends with the machine's uptime: names of processes, mounts and
// sockets. On a disk it would outlive a reboot and then name other processes; and
// each pod makes and removes dozens of small files there, some of them synced. On
// most machines State is below /run and so on a tmpfs anyway. Where mounting is
// not permitted, the disk has to do.
func PrepareState(state string) error {
	// Pods with user namespaces reach their bundle through it.
	if err := os.MkdirAll(state, 0o711); err != nil {
		return fmt.Errorf("container runtime directory: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(state, &fs); err != nil {
		return fmt.Errorf("container runtime directory %s: %w", state, err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		return nil
	}
	entries, err := os.ReadDir(state)
	if err != nil {
		return fmt.Errorf("container runtime directory: %w", err)
	}
	if len(entries) > 0 {
		return nil
	}
	err = unix.Mount(stateMount, state, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,size="+stateSize)
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("mount a tmpfs on %s: %w", state, err)
	}
	return nil
}

// ReleaseState unmounts the tmpfs that PrepareState mounted, if it did, and removes
// the directory. Nothing may be mounted below it any more.
func ReleaseState(state string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	if isMounted(string(info), state) {
		if err := unix.Unmount(state, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", state, err)
		}
	}
	return os.RemoveAll(state)
}

// isMounted tells whether a tmpfs of ours is on the directory. Pure.
func isMounted(mountinfo, dir string) bool {
	for line := range strings.Lines(mountinfo) {
		head, tail, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		h, t := strings.Fields(head), strings.Fields(tail)
		if len(h) > 4 && h[4] == filepath.Clean(dir) && len(t) > 1 && t[0] == "tmpfs" && t[1] == stateMount {
			return true
		}
	}
	return false
}
