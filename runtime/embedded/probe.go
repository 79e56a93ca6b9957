package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
)

// probe finds out what the machine allows.
func probe(c Config) (probed, error) {
	p := probed{snapshotter: c.Snapshotter}
	restrict, err := oomScoreAdjRestricted("/proc/self/oom_score_adj")
	if err != nil {
		return p, err
	}
	p.restrictOOMScoreAdj = restrict
	if p.snapshotter == "" {
		p.snapshotter = snapshotterOverlay
		if err := overlayutils.Supported(c.Root); err != nil {
			c.Logger.Warn("overlayfs does not work here, falling back to plain copies of image layers",
				"root", c.Root, "err", err)
			p.snapshotter = snapshotterNative
		}
	}
	return p, nil
}

// oomScoreAdjRestricted tells whether this process may not lower its
// oom_score_adj, as without CAP_SYS_RESOURCE. It tries: the capability set does
// not say it all (user namespaces, security modules). The score is lowered by
// one and put back; raising it again needs no privilege.
func oomScoreAdjRestricted(path string) (bool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read this process's OOM score adjustment: %w", err)
	}
	cur, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return false, fmt.Errorf("parse %s: %w", path, err)
	}
	const lowest = -1000
	if cur == lowest {
		// Already at the floor, which takes the privilege to reach; but it may
		// have been given up since. Pods never go lower, so nothing is lost.
		return false, nil
	}
	err = os.WriteFile(path, []byte(strconv.Itoa(cur-1)), 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("lower this process's OOM score adjustment: %w", err)
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(cur)), 0); err != nil {
		return false, fmt.Errorf("restore this process's OOM score adjustment: %w", err)
	}
	return false, nil
}

// checkBinaries reports programs that are missing, by name and place.
func checkBinaries(c Config) error {
	for _, path := range []string{c.shimPath(), c.runcPath(), filepath.Join(c.BinDir, PauseBinary)} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("container runtime program missing (build it with make, or set BinDir): %w", err)
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("container runtime program %s is not executable", path)
		}
	}
	return nil
}

// makeDirs creates what has to exist before the plugins start.
func makeDirs(c Config) error {
	if err := PrepareState(c.State); err != nil {
		return err
	}
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{
		{c.Root, 0o700},
		{filepath.Dir(c.Socket), 0o711},
		{c.CNIConfDir, 0o755},
	} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return fmt.Errorf("container runtime directory: %w", err)
		}
	}
	return nil
}
