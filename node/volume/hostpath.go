package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"

	"proa/node/cri"
)

// hostPath is a path of the node as it is, checked for what the pod says it
// should be. Nothing is made but for the two types that ask for it.
func (j *job) hostPath(path string, kind *corev1.HostPathType) (cri.Volume, error) {
	out := cri.Volume{Path: path}
	if path == "" {
		return out, errors.New("hostPath: no path given")
	}
	if kind == nil {
		return out, nil
	}
	return out, checkHostPath(path, *kind)
}

func checkHostPath(path string, kind corev1.HostPathType) error {
	var is func(fs.FileMode) bool
	var what string
	switch kind {
	case corev1.HostPathUnset:
		return nil
	case corev1.HostPathDirectoryOrCreate:
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
		}
		fallthrough
	case corev1.HostPathDirectory:
		is, what = fs.FileMode.IsDir, "directory"
	case corev1.HostPathFileOrCreate:
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			f, err := os.OpenFile(path, os.O_CREATE, 0o644)
			if err != nil {
				return err
			}
			f.Close()
		}
		fallthrough
	case corev1.HostPathFile:
		is, what = fs.FileMode.IsRegular, "file"
	case corev1.HostPathSocket:
		is, what = func(m fs.FileMode) bool { return m&fs.ModeSocket != 0 }, "socket file"
	case corev1.HostPathCharDev:
		is, what = func(m fs.FileMode) bool { return m&fs.ModeCharDevice != 0 }, "character device"
	case corev1.HostPathBlockDev:
		is, what = func(m fs.FileMode) bool { return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0 }, "block device"
	default:
		return fmt.Errorf("%s is an invalid volume type", kind)
	}
	st, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err != nil || !is(st.Mode()) {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", path, what)
	}
	return nil
}
