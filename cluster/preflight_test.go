package cluster

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// fit is a machine on which nothing is missing.
func fit() machine {
	return machine{
		root:     true,
		portFree: func(string, int) error { return nil },
		overlay:  func() bool { return true },
		cgroups:  func() bool { return true },
		program:  func(string) error { return nil },
		helper:   func(string) error { return nil },
		free:     func(string) (uint64, error) { return 1 << 40, nil },
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	all, no := role{api: true, node: true}, errors.New("no")
	taken := func(port int) func(m *machine) {
		return func(m *machine) {
			m.portFree = func(_ string, p int) error {
				if p == port {
					return no
				}
				return nil
			}
		}
	}
	lacks := func(name string) func(m *machine) {
		return func(m *machine) {
			m.helper = func(path string) error {
				if strings.HasSuffix(path, name) {
					return no
				}
				return nil
			}
		}
	}
	nft := func(m *machine) { m.program = func(string) error { return no } }
	for _, c := range []struct {
		name   string
		config func(*Config)
		role   role
		break_ func(*machine)
		want   string // "" is fit
	}{
		{"fit", nil, all, nil, ""},
		{"not root", nil, all, func(m *machine) { m.root = false }, "use sudo"},
		{"not root, and no containers", nil, role{api: true}, func(m *machine) { m.root = false }, ""},
		{"API port", nil, all, taken(6443), "port 6443 of the API server is taken: stop what uses it, or choose another with --port"},
		{"API port, without API server", nil, role{node: true}, taken(6443), ""},
		{"any API port", func(c *Config) { c.API.Port = new(int) }, all, taken(0), ""},
		{"node port", nil, all, taken(10250), "choose another with --kubelet-port"},
		{"node port, without node", nil, role{api: true}, taken(10250), ""},
		{"health port", nil, all, taken(10248), "choose another with --healthz-port"},
		{"overlayfs", nil, all, func(m *machine) { m.overlay = func() bool { return false } }, "modprobe overlay"},
		{"overlayfs, with another runtime", func(c *Config) { c.Node.RuntimeEndpoint = "unix:///x" }, all, func(m *machine) { m.overlay = func() bool { return false } }, ""},
		{"runc", nil, all, lacks("/runc"), `runc is missing beside proa`},
		{"shim", nil, all, lacks("containerd-shim-runc-v2"), `build it with "make build"`},
		{"CNI plugin", nil, all, lacks("cni/proa-bridge"), "cni/proa-bridge is missing beside proa"},
		{"CNI plugin, with another network", func(c *Config) { c.Network.CNI = "none" }, all, lacks("cni/proa-bridge"), ""},
		{"nft", nil, all, nft, "install the package nftables"},
		{"nft, with another network", func(c *Config) { c.Network.CNI = "none" }, all, nft, ""},
		{"cgroups", nil, all, func(m *machine) { m.cgroups = func() bool { return false } }, "no cgroups are mounted"},
		{"full disk", nil, all, func(m *machine) { m.free = func(string) (uint64, error) { return 3 << 20, nil } }, "only 3 MiB are free"},
		{"no directory", nil, all, func(m *machine) { m.free = func(string) (uint64, error) { return 0, no } }, "choose another with --data-dir"},
	} {
		m := fit()
		if c.break_ != nil {
			c.break_(&m)
		}
		err := preflight(complete(t, c.config), c.role, m)
		switch {
		case c.want == "" && err != nil, c.want != "" && err == nil:
			t.Errorf("%s: got %v", c.name, err)
		case err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: got %q, want one line with %q", c.name, err, c.want)
		}
	}
	// Everything that is wrong is said at once.
	m := fit()
	m.root = false
	nft(&m)
	if err := preflight(complete(t, nil), all, m); err == nil || !strings.Contains(err.Error(), "sudo") || !strings.Contains(err.Error(), "nftables") {
		t.Errorf("two things are wrong: %v", err)
	}
}

func TestFree(t *testing.T) {
	t.Parallel()
	if n, err := free(filepath.Join(t.TempDir(), "a", "b")); err != nil || n == 0 {
		t.Errorf("got %d %v", n, err)
	}
	if _, err := free(filepath.Join(write(t, "file", ""), "below")); err == nil {
		t.Error("a directory below a file can be used")
	}
}
