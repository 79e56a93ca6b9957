package volume

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"proa/node/volume/beneath"
)

// Bits that a volume with an fsGroup gets beside those it has: files for
// reading or also writing, directories for searching too, with setgid so that
// what is made in them belongs to the group.
const (
	groupRead  = 0o440
	groupWrite = 0o660
	groupDir   = unix.S_ISGID | 0o110
)

// giveToGroup hands the open directory and all below it to a group. It walks
// by descriptor and changes links themselves, never what they lead to.
func giveToGroup(dir *os.File, gid int64, readOnly bool) error {
	bits := uint32(groupWrite)
	if readOnly {
		bits = groupRead
	}
	if err := giveOne(dir, int(gid), bits|groupDir); err != nil {
		return err
	}
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(256)
		for _, n := range names {
			if err := giveName(dir, n, gid, readOnly, bits); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func giveName(dir *os.File, name string, gid int64, readOnly bool, bits uint32) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil // gone meanwhile
		}
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		sub, err := beneath.OpenNoLinks(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer sub.Close()
		return giveToGroup(sub, gid, readOnly)
	case unix.S_IFREG:
		f, err := beneath.OpenNoLinks(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return giveOne(f, int(gid), bits)
	}
	return unix.Fchownat(int(dir.Fd()), name, -1, int(gid), unix.AT_SYMLINK_NOFOLLOW)
}

func giveOne(f *os.File, gid int, bits uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if err := unix.Fchown(int(f.Fd()), -1, gid); err != nil {
		return err
	}
	// After the change of owner, which clears setgid.
	return unix.Fchmod(int(f.Fd()), st.Mode&0o7777|bits)
}

// hasGroup says whether the root of a volume already belongs to the group with
// all its bits, for the policy OnRootMismatch.
func hasGroup(dir *os.File, gid int64, readOnly bool) (bool, error) {
	bits := uint32(groupWrite | groupDir)
	if readOnly {
		bits = groupRead | groupDir
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return false, err
	}
	return int64(st.Gid) == gid && st.Mode&bits == bits, nil
}
