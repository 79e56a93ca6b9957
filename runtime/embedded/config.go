package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"
)

// Names of the programs expected in Config.BinDir.
const (
	ShimBinary  = "containerd-shim-runc-v2" // this module's runtime/shim
	RuncBinary  = "runc"
	PauseBinary = "pause"
)

// Limits of AF_UNIX paths: the kernel's own, and the one containerd derives
// from it for the directory of the shims' sockets (a slash and 64 hexadecimal
// digits follow).
const (
	maxSocketPath    = 107
	maxShimSocketDir = 42
)

// Config says where the runtime lives and what it uses. The zero value of an
// optional field means its default. A Config is not changed after Start.
type Config struct {
	// Root keeps images, snapshots and metadata. Required, absolute.
	Root string
	// State keeps what is meaningless after a reboot; best on a tmpfs such as
	// /run. Required, absolute, different from Root.
	State string
	// Socket is the path of the CRI socket. Default: State/containerd.sock.
	Socket string
	// BinDir holds runc, containerd-shim-runc-v2 and pause. Required, absolute.
	BinDir string

	// CNIBinDirs are searched for CNI plugins, in order. Default: BinDir/cni.
	CNIBinDirs []string
	// CNIConfDir is watched for the pod network's configuration; the first
	// file in name order is used. Default: State/cni/net.d.
	CNIConfDir string

	// SandboxImage is the image of the pause container. It is pinned: CRI
	// reports it as not removable. Default: proa.local/pause:1.
	SandboxImage string
	// SystemdCgroup makes runc ask systemd for cgroups instead of writing the
	// cgroup file system itself. Cgroup v1 and v2 are told apart by looking.
	SystemdCgroup bool
	// Snapshotter is "overlayfs" or "native" (plain copies, for file systems
	// that cannot be an overlay's upper layer). Default: whichever works,
	// overlayfs first.
	Snapshotter string

	// PodsPerShim bounds how many pods one shim process holds, and so what ends
	// if that process is killed. A shim takes some 20 MB, whatever it holds.
	// Default: 16.
	PodsPerShim int

	// RegistryConfigPath is the colon-separated list of directories with
	// per-registry hosts.toml files. Default: Root/certs.d, which need not
	// exist.
	RegistryConfigPath string
	// StatsPeriod is how often the CPU use of containers is sampled, from which
	// CRI derives a rate; each sample is a call to every shim. Default: 30s.
	StatsPeriod time.Duration
	// ImageStatsPeriod is how often the disk use of snapshots is measured.
	// Default: 60s.
	ImageStatsPeriod time.Duration

	// Logger receives containerd's warnings and errors, and its information
	// when it is enabled for debugging. Default: slog.Default().
	Logger *slog.Logger `json:"-"`
}

// DefaultSandboxImage is the pause image Proa builds for itself.
const DefaultSandboxImage = "proa.local/pause:1"

// withDefaults returns c with every optional field set, except Snapshotter,
// which needs a look at the disk.
func (c Config) withDefaults() Config {
	if c.Socket == "" {
		c.Socket = filepath.Join(c.State, "containerd.sock")
	}
	if len(c.CNIBinDirs) == 0 {
		c.CNIBinDirs = []string{filepath.Join(c.BinDir, "cni")}
	}
	if c.CNIConfDir == "" {
		c.CNIConfDir = filepath.Join(c.State, "cni", "net.d")
	}
	if c.SandboxImage == "" {
		c.SandboxImage = DefaultSandboxImage
	}
	if c.PodsPerShim == 0 {
		c.PodsPerShim = 16
	}
	if c.RegistryConfigPath == "" {
		c.RegistryConfigPath = filepath.Join(c.Root, "certs.d")
	}
	if c.StatsPeriod == 0 {
		c.StatsPeriod = 30 * time.Second
	}
	if c.ImageStatsPeriod == 0 {
		c.ImageStatsPeriod = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// validate checks a defaulted configuration without touching the disk.
func (c Config) validate() error {
	var errs []error
	for _, p := range []struct{ name, path string }{
		{"Root", c.Root}, {"State", c.State}, {"Socket", c.Socket},
		{"BinDir", c.BinDir}, {"CNIConfDir", c.CNIConfDir},
	} {
		switch {
		case p.path == "":
			errs = append(errs, fmt.Errorf("%s must be set", p.name))
		case !filepath.IsAbs(p.path):
			errs = append(errs, fmt.Errorf("%s %q must be an absolute path", p.name, p.path))
		}
	}
	if c.Root != "" && filepath.Clean(c.Root) == filepath.Clean(c.State) {
		errs = append(errs, fmt.Errorf("Root and State must differ, both are %q", c.Root))
	}
	if p := c.ttrpcSocket(); len(p) > maxSocketPath {
		errs = append(errs, fmt.Errorf("socket path %q has %d bytes, the kernel takes %d: choose a shorter Socket", p, len(p), maxSocketPath))
	}
	switch c.Snapshotter {
	case "", snapshotterOverlay, snapshotterNative:
	default:
		errs = append(errs, fmt.Errorf("Snapshotter %q is not one of %q, %q", c.Snapshotter, snapshotterOverlay, snapshotterNative))
	}
	if c.PodsPerShim < 1 {
		errs = append(errs, errors.New("PodsPerShim must be at least 1"))
	}
	if c.StatsPeriod < time.Second || c.ImageStatsPeriod < time.Second {
		errs = append(errs, errors.New("StatsPeriod and ImageStatsPeriod must be at least one second"))
	}
	return errors.Join(errs...)
}

func (c Config) ttrpcSocket() string { return c.Socket + ".ttrpc" }
func (c Config) shimPath() string    { return filepath.Join(c.BinDir, ShimBinary) }
func (c Config) runcPath() string    { return filepath.Join(c.BinDir, RuncBinary) }

// ShimSocketDir is where the shims of a runtime with this State listen. It is
// State/s unless that is too long for a socket address; then a short directory
// under /run/proa takes its place, named after State so that a later process
// finds the same one.
func ShimSocketDir(state string) string {
	dir := filepath.Join(state, "s")
	if len(dir) <= maxShimSocketDir {
		return dir
	}
	sum := sha256.Sum256([]byte(filepath.Clean(state)))
	return filepath.Join("/run/proa/s", hex.EncodeToString(sum[:8]))
}

// RuncRoot is runc's own state directory for a runtime with this State.
func RuncRoot(state string) string { return filepath.Join(state, "runc") }

// TaskDir holds a directory per containerd namespace, and in each of them a
// bundle per container: the record of which shims are alive.
func TaskDir(state string) string { return filepath.Join(state, taskPluginURI) }

// NetNSDir is where the network namespaces of pods are pinned.
func NetNSDir(state string) string {
	return filepath.Join(state, "io.containerd.grpc.v1.cri", "netns")
}
