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
)

// Preflight checks that this machine can run a cluster as configured, and says
// of each thing that is missing what to do.
func Preflight(c *Config) error {
	var errs []error
	missing := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if os.Geteuid() != 0 {
		missing("proa must run as root to make containers: use sudo")
	}
	if *c.API.Port > 0 {
		if err := portFree(c.API.BindAddress, *c.API.Port); err != nil {
			missing("port %d of the API server is taken: stop what uses it, or choose another with --port: %w", *c.API.Port, err)
		}
	}
	if !c.Node.Disabled {
		if *c.Node.Port > 0 {
			if err := portFree(c.API.BindAddress, *c.Node.Port); err != nil {
				missing("port %d of the node is taken: stop what uses it, or choose another with --kubelet-port: %w", *c.Node.Port, err)
			}
		}
		if c.Node.RuntimeEndpoint == "" {
			if !filesystemKnown("overlay") {
				missing("the kernel has no overlayfs: load it with \"modprobe overlay\"")
			}
			for _, name := range Helpers {
				if _, err := os.Stat(filepath.Join(BinDir(), name)); err != nil {
					missing("%s is missing beside proa in %s: build it with \"make build\"", name, BinDir())
				}
			}
		}
		if c.Network.CNI == "bridge" {
			if _, err := exec.LookPath("nft"); err != nil {
				missing("the program nft is missing: install the package nftables")
			}
		}
		if !hasCgroups() {
			missing("no cgroups are mounted below /sys/fs/cgroup: mount them, or run on a system that does")
		}
	}
	var st unix.Statfs_t
	if err := os.MkdirAll(c.DataDir, 0o755); err != nil {
		missing("the data directory cannot be made: %w", err)
	} else if err := unix.Statfs(c.DataDir, &st); err == nil {
		if free := st.Bavail * uint64(st.Bsize); free < minFree {
			missing("only %d MiB are free for %s: make room, or choose another --data-dir", free>>20, c.DataDir)
		}
	}
	return errors.Join(errs...)
}

// minFree is what must be free on the disk for a start to make sense: etcd
// preallocates its log in 64 MB pieces.
const minFree = 256 << 20

// Helpers are the programs beside proa that the embedded runtime executes.
var Helpers = []string{"runc", "containerd-shim-runc-v2"}

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
