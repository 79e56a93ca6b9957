package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// download fetches Debian packages and all that they depend on into a directory
// of their own below cache, and returns the files. It asks apt to plan for a
// machine on which nothing is installed.
func download(ctx context.Context, cache, name string, packages ...string) ([]string, error) {
	dir := filepath.Join(cache, name)
	for _, d := range []string{"archives/partial", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	status := filepath.Join(dir, "state", "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	archives := filepath.Join(dir, "archives")
	args := []string{"install", "--download-only", "--yes", "--no-install-recommends", "-qq",
		"-o", "Dir::State::status=" + status, "-o", "Dir::Cache::archives=" + archives, "-o", "APT::Sandbox::User=root"}
	cmd := exec.CommandContext(ctx, "apt-get", append(args, packages...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("download the Debian packages %s: %w; run apt-get update and try again\n%s", strings.Join(packages, " "), err, out)
	}
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	slices.Sort(debs)
	return debs, err
}
