package parts

import (
	"fmt"
	"os"
	"path/filepath"
)

const cgroups = "/sys/fs/cgroup"

// MakeCgroup makes the cgroup below which pods run, which upstream's kubelet
// wants to find. It is removed with the container runtime.
func MakeCgroup(name string) error {
	roots := []string{cgroups}
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err != nil {
		// Version 1: one hierarchy for each set of controllers.
		if roots, err = filepath.Glob(filepath.Join(cgroups, "*")); err != nil {
			return err
		}
	}
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return fmt.Errorf("make the cgroup of the pods: %w", err)
		}
	}
	return nil
}
