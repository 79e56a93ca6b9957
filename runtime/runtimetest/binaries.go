package runtimetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"proa/runtime/embedded"
)

// BinDirEnv names the environment variable with a directory of programs.
const BinDirEnv = "PROA_BIN_DIR"

// program is one that has to be built: with go from a package, or with the C
// compiler from a file.
type program struct {
	out  string   // relative to the directory of programs
	pkg  string   // Go package
	cgo  bool     // linked statically all the same
	tags string   //
	args []string // C compiler's, in place of pkg
}

// The same commands as in the Makefile. The shim speaks ttrpc only; gRPC, which
// its libraries would bring, is two fifths of its size and of its start.
var programs = []program{
	{out: embedded.ShimBinary, pkg: "proa/runtime/shim", tags: "no_grpc"},
	{out: embedded.RuncBinary, pkg: "github.com/opencontainers/runc", cgo: true, tags: "seccomp urfave_cli_no_docs netgo osusergo"},
	{out: "cni/proa-bridge", pkg: "proa/network/cni/bridge"},
	{out: "cni/loopback", pkg: "github.com/containernetworking/plugins/plugins/main/loopback"},
	{out: "cni/portmap", pkg: "github.com/containernetworking/plugins/plugins/meta/portmap"},
	{out: "hello", pkg: "proa/images/hello"},
	{out: "pause", args: []string{
		"-Os", "-static", "-nostdlib", "-nostartfiles", "-ffreestanding", "-fno-builtin", "-fno-stack-protector",
		"-fno-pie", "-no-pie", "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none,-z,noseparate-code,-z,norelro", "-s",
		"images/pause/pause.c",
	}},
}

// BinDir returns a directory with all programs that a runtime needs, and builds
// them first if need be. Tests of several packages may call it at the same time.
func BinDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv(BinDirEnv); dir != "" {
		return dir
	}
	root := moduleRoot(t)
	key, err := buildKey(root)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "proa", "bin-"+key)
	unlock := lockFile(t, dir+".lock")
	defer unlock()
	for _, p := range programs {
		if err := build(root, dir, p); err != nil {
			t.Fatalf("build %s: %v", p.out, err)
		}
	}
	return dir
}

// build makes one program unless it is there.
func build(root, dir string, p program) error {
	out := filepath.Join(dir, p.out)
	if _, err := os.Stat(out); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp := out + ".tmp"
	var cmd *exec.Cmd
	if p.pkg == "" {
		cmd = exec.Command("gcc", append([]string{"-o", tmp}, p.args...)...)
	} else {
		flags, env := "-s -w", "CGO_ENABLED=0"
		if p.cgo {
			flags, env = flags+" -extldflags -static", "CGO_ENABLED=1"
		}
		cmd = exec.Command("go", "build", "-trimpath", "-ldflags="+flags, "-tags="+p.tags, "-o", tmp, p.pkg)
		cmd.Env = append(os.Environ(), env)
	}
	cmd.Dir = root
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, b)
	}
	return os.Rename(tmp, out)
}

// buildKey names the inputs of the build: the versions of all modules, the
// compiler, and the sources of our own programs.
func buildKey(root string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, programs)
	sources := []string{"go.sum", "images/pause/pause.c"}
	for _, pattern := range []string{"images/hello/*.go", "runtime/shim/*.go", "runtime/sandbox/*.go", "network/cni/bridge/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			sources = append(sources, strings.TrimPrefix(f, root))
		}
	}
	for _, f := range sources {
		b, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// moduleRoot finds go.mod above the test's directory.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("no go.mod above the test's directory; set %s", BinDirEnv)
		}
		dir = filepath.Dir(dir)
	}
}

// lockFile takes a lock shared by all processes of the machine, and waits for it.
func lockFile(t testing.TB, path string) (unlock func()) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}
