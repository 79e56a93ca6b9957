package images

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// buildBusybox builds busybox from its authors' sources, which Debian's archive
// has, and returns the program. It lies in dir and is built once. Debian's own
// program will not do: its shell drops variables of the environment whose names
// no shell variable may have, such as those of a ConfigMap's keys, and upstream's
// hands them on.
func buildBusybox(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "busybox")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "building busybox")
	work, err := os.MkdirTemp("", "busybox")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	tarball, err := source(ctx, work, "busybox")
	if err != nil {
		return "", err
	}
	if err := untar(ctx, tarball, work); err != nil {
		return "", err
	}
	if err := command(ctx, work, "make", "defconfig"); err != nil {
		return "", err
	}
	if err := configure(filepath.Join(work, ".config")); err != nil {
		return "", err
	}
	if err := command(ctx, work, "make", "busybox"); err != nil {
		return "", err
	}
	return path, os.Rename(filepath.Join(work, "busybox"), path)
}

// busyboxSettings are what differs from the default configuration: one file that
// needs no library, without the one applet that new kernels' headers break.
var busyboxSettings = map[string]string{"CONFIG_STATIC": "y", "CONFIG_TC": "n"}

func configure(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for name, value := range busyboxSettings {
		line := regexp.MustCompile(`(?m)^(# ` + name + ` is not set|` + name + `=.*)$`)
		if !line.Match(data) {
			return fmt.Errorf("busybox has no setting %s", name)
		}
		data = line.ReplaceAll(data, []byte(name+"="+value))
	}
	return os.WriteFile(file, data, 0o644)
}

// untar unpacks an archive without the directory that everything in it is in.
func untar(ctx context.Context, tarball, dir string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, "tar", "-x", "--strip-components=1", "-C", dir)
	cmd.Stdin = bzip2.NewReader(f)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", tarball, err, out)
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out[max(0, len(out)-4096):])
	}
	return nil
}
