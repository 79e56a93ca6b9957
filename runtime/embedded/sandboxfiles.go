package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandboxDirs knows where the files of light sandboxes are.
//
// CRI mounts them into containers from two directories per sandbox, of which it
// removes those that no upstream sandbox belongs to when it starts. It removes
// directories only, so what it finds there are links to ours.
type sandboxDirs struct {
	root  string   // of pause processes
	files string   // a directory per sandbox
	links []string // CRI's directories of sandboxes
}

func newSandboxDirs(c Config) sandboxDirs {
	const cri = "io.containerd.grpc.v1.cri"
	return sandboxDirs{
		root:  filepath.Join(c.State, "pause"),
		files: filepath.Join(c.State, "sandboxes"),
		links: []string{
			filepath.Join(c.Root, cri, "sandboxes"),
			filepath.Join(c.State, cri, "sandboxes"),
		},
	}
}

// shimFile in a sandbox's directory names its shim.
const shimFile = "shim"

// note records which shim a sandbox is given to, before it is.
func (d sandboxDirs) note(id, shim string) error {
	return os.WriteFile(filepath.Join(d.files, id, shimFile), []byte(shim), 0o600)
}

// noted is the shim of a sandbox, or "".
func (d sandboxDirs) noted(id string) string {
	b, err := os.ReadFile(filepath.Join(d.files, id, shimFile))
	if err != nil {
		return ""
	}
	return string(b)
}

// shmSize is the size of a pod's /dev/shm in bytes, as upstream has it.
const shmSize = 64 << 20

// create makes a sandbox's files.
func (d sandboxDirs) create(id string, pod *runtimeapi.PodSandboxConfig) error {
	// The pods' shared memory is nothing for other users of the machine.
	if err := os.MkdirAll(d.files, 0o700); err != nil {
		return err
	}
	dir := filepath.Join(d.files, id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	hostname := pod.GetHostname()
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return err
		}
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	resolv, err := resolvConf(pod.GetDnsConfig())
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"hostname": []byte(hostname + "\n"), "hosts": hosts, "resolv.conf": resolv,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if pod.GetLinux().GetSecurityContext().GetNamespaceOptions().GetIpc() != runtimeapi.NamespaceMode_NODE {
		shm := filepath.Join(dir, "shm")
		if err := os.Mkdir(shm, 0o700); err != nil {
			return err
		}
		err := unix.Mount("shm", shm, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%d", shmSize))
		if err != nil {
			return fmt.Errorf("mount shared memory: %w", err)
		}
	}
	for _, l := range d.links {
		if err := os.MkdirAll(l, 0o755); err != nil {
			return err
		}
		if err := os.Symlink(dir, filepath.Join(l, id)); err != nil {
			return err
		}
	}
	return nil
}

// remove undoes create, also half of it, also twice.
func (d sandboxDirs) remove(id string) error {
	var errs []error
	dir := filepath.Join(d.files, id)
	shm := filepath.Join(dir, "shm")
	// Containers that still have it mounted keep it until they end.
	err := unix.Unmount(shm, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", shm, err)
	}
	for _, l := range d.links {
		// Remove fails on what is not a link or an empty directory, as it should.
		if err := os.Remove(filepath.Join(l, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// list returns the sandboxes that have files or links.
func (d sandboxDirs) list() []string {
	var ids []string
	entries, _ := os.ReadDir(d.files)
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	for _, l := range d.links {
		entries, _ := os.ReadDir(l)
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink != 0 {
				ids = append(ids, e.Name())
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// resolvConf writes a pod's resolver configuration; without one it is the
// host's.
func resolvConf(dns *runtimeapi.DNSConfig) ([]byte, error) {
	if dns == nil {
		b, err := os.ReadFile("/etc/resolv.conf")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return b, err
	}
	var b strings.Builder
	if len(dns.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.Searches, " "))
	}
	for _, s := range dns.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(dns.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.Options, " "))
	}
	return []byte(b.String()), nil
}
