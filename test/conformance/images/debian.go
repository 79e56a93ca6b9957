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

// source fetches the sources that a Debian package is made of into dir, and
// returns the archive of its authors, without Debian's changes. The machine need
// not be set up for sources: those of its first archive of packages are taken.
func source(ctx context.Context, dir, name string) (string, error) {
	format := "deb-src $(REPO_URI) $(CODENAME) $(COMPONENT)"
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", format, "Created-By: Packages", "Origin: Debian", "Component: main").Output()
	list, _, _ := strings.Cut(string(out), "\n")
	if err != nil || list == "" {
		return "", fmt.Errorf("apt-get knows no archive of Debian's (%v); run apt-get update and try again", err)
	}
	lists := filepath.Join(dir, "lists")
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(file, []byte(list+"\n"), 0o644); err != nil {
		return "", err
	}
	options := []string{"-qq", "-o", "Dir::Etc::sourcelist=" + file, "-o", "Dir::Etc::sourceparts=-", "-o", "Dir::State::lists=" + lists, "-o", "APT::Sandbox::User=root"}
	for _, args := range [][]string{{"update"}, {"source", "--download-only", name}} {
		cmd := exec.CommandContext(ctx, "apt-get", append(args, options...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("download the sources of %s: %w\n%s", name, err, out)
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.orig.tar.bz2"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("the sources of %s have %d archives of the name that was expected", name, len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
