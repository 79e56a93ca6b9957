package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const mountInfo = "/proc/self/mountinfo"

// mountsBelow returns the mount points strictly below the directories, in the
// order in which they can be unmounted: the reverse of their making. Pure.
func mountsBelow(mountinfo string, dirs ...string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		point := unescapeMount(f[4])
		for _, dir := range dirs {
			if below(point, dir) {
				out = append(out, point)
				break
			}
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// unescapeMount undoes the octal escapes of mountinfo.
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescapeMount(s string) string { return mountEscapes.Replace(s) }

// below tells whether path is inside dir, and not dir itself.
func below(path, dir string) bool {
	return dir != "" && strings.HasPrefix(path, strings.TrimSuffix(filepath.Clean(dir), "/")+"/")
}

// unmountBelow unmounts everything below the directories. Mounts that are busy
// are detached: they vanish from the tree at once and are freed with their last
// user.
func unmountBelow(dirs ...string) error {
	var errs []error
	// A mount may hide others; a few rounds find them all.
	for range 8 {
		b, err := os.ReadFile(mountInfo)
		if err != nil {
			return fmt.Errorf("list mounts: %w", err)
		}
		points := mountsBelow(string(b), dirs...)
		if len(points) == 0 {
			return nil
		}
		errs = nil
		for _, p := range points {
			err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW)
			if errors.Is(err, unix.EBUSY) {
				err = unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			}
			// EINVAL: gone with one above it.
			if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
			}
		}
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("mounts below %s keep coming back", strings.Join(dirs, ", ")))
	}
	return errors.Join(errs...)
}

// UnmountBelow unmounts everything strictly below dir, such as the volumes of a
// node's pods. Nothing there is no error.
func UnmountBelow(dir string) error { return unmountBelow(dir) }
