package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"proa/network/cni"
)

// Preflight checks that this machine can run a cluster as configured, and says
// of each thing that is missing what to do. Nothing has been started then.
func Preflight(c *Config) error {
	return preflight(c, role{api: true, node: !c.Node.Disabled}, thisMachine())
}

// role is what a process is going to run.
type role struct{ api, node bool }

// machine answers what preflight asks about the machine.
type machine struct {
	root bool
	// portFree fails where a port cannot be opened.
	portFree func(address string, port int) error
	overlay  func() bool
	cgroups  func() bool
	// program fails where a program is not in the PATH.
	program func(name string) error
	// helper fails where a file beside proa cannot be executed.
	helper func(path string) error
	// free makes a directory and returns how many bytes are free for it.
	free func(dir string) (uint64, error)
}

func thisMachine() machine {
	return machine{
		root:     os.Geteuid() == 0,
		portFree: portFree,
		overlay:  func() bool { return filesystemKnown("overlay") },
		cgroups:  hasCgroups,
		program: func(name string) error {
			_, err := exec.LookPath(name)
			return err
		},
		helper: func(path string) error { return unix.Access(path, unix.X_OK) },
		free:   free,
	}
}

func preflight(c *Config, r role, m machine) error {
	var errs []error
	missing := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	port := func(address string, port *int, what, flag string) {
		if *port <= 0 {
			return
		}
		if err := m.portFree(address, *port); err != nil {
			missing("port %d of %s is taken: stop what uses it, or choose another with %s: %w", *port, what, flag, err)
		}
	}
	if r.node && !m.root {
		missing("proa must run as root to make containers: use sudo")
	}
	if r.api {
		port(c.API.BindAddress, c.API.Port, "the API server", "--port")
	}
	if r.node {
		if !hasFleet(c) { // whose nodes have ports of their own
			port(c.API.BindAddress, c.Node.Port, "the node", "--kubelet-port")
			port("127.0.0.1", c.Node.HealthPort, "the node's health", "--healthz-port")
		}
		errs = append(errs, preflightNode(c, m)...)
	}
	switch n, err := m.free(c.DataDir); {
	case err != nil:
		missing("the data directory cannot be used: choose another with --data-dir: %w", err)
	case n < minFree:
		missing("only %d MiB are free for %s, and %d are needed to start: make room, or choose another with --data-dir", n>>20, c.DataDir, minFree>>20)
	}
	return errors.Join(errs...)
}

// preflightNode checks what containers need.
func preflightNode(c *Config, m machine) (errs []error) {
	missing := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Node.RuntimeEndpoint == "" {
		if !m.overlay() {
			missing("the kernel has no overlayfs: load it with \"modprobe overlay\"")
		}
		for _, name := range helpers(c) {
			if err := m.helper(filepath.Join(BinDir(), name)); err != nil {
				missing("%s is missing beside proa in %s: build it with \"make build\"", name, BinDir())
			}
		}
	}
	if c.Network.CNI == "bridge" {
		if err := m.program("nft"); err != nil {
			missing("the program nft is missing: install the package nftables")
		}
	}
	if !m.cgroups() {
		missing("no cgroups are mounted below /sys/fs/cgroup: mount them, or run on a system that does")
	}
	return errs
}

// minFree is what must be free on the disk for a start to make sense: etcd
// preallocates its log in 64 MB pieces.
const minFree = 256 << 20

// helpers are the programs beside proa that the embedded runtime executes.
func helpers(c *Config) []string {
	all := []string{"runc", "containerd-shim-runc-v2", "pause"}
	if c.Network.CNI == "bridge" {
		all = append(all, "cni/"+cni.Plugin, "cni/loopback", "cni/portmap")
	}
	return all
}

// free makes a directory and says how much may be written into it.
func free(dir string) (uint64, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// BinDir is the folder of this program, beside which its helpers lie.
func BinDir() string {
	exe, err := os.Executable()
	if err != nil {
		return "."
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Dir(exe)
}

func portFree(addr string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

func filesystemKnown(name string) bool {
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == name {
			return true
		}
	}
	return exec.Command("modprobe", name).Run() == nil
}

func hasCgroups() bool {
	for _, f := range []string{"/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(f); err == nil {
			return true
		}
	}
	return false
}
