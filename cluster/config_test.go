package cluster

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complete is a configuration with its defaults, after f has set it.
func complete(t *testing.T, f func(*Config)) *Config {
	t.Helper()
	c := &Config{DataDir: t.TempDir()}
	if f != nil {
		f(c)
	}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	c, err := LoadConfig(write(t, "config.yaml", "dataDir: /x\napi:\n  port: 0\nnode:\n  labels: {a: b}\n"))
	if err != nil || c.DataDir != "/x" || *c.API.Port != 0 || c.Node.Labels["a"] != "b" {
		t.Errorf("got %+v %v", c, err)
	}
	for name, data := range map[string]string{
		"unknown field": "dataDirectory: /x\n",
		"wrong type":    "api: {port: many}\n",
		"no YAML":       "a: [\n",
		"twice":         "dataDir: /x\ndataDir: /y\n",
	} {
		file := write(t, "config.yaml", data)
		if _, err := LoadConfig(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that was named and is missing is ignored")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := complete(t, func(c *Config) { c.Network.ServiceCIDR = "10.99.0.0/16" })
	for what, pair := range map[string][2]string{
		"bind address": {c.API.BindAddress, "0.0.0.0"},
		"pods":         {c.Network.PodCIDR, "10.42.0.0/16"},
		"DNS":          {c.Network.ClusterDNS, "10.99.0.10"},
		"run":          {c.RunDir, filepath.Join(c.DataDir, "run")},
		"node root":    {c.Node.Root, filepath.Join(c.DataDir, "kubelet")},
		"runtime":      {c.RuntimeEndpoint(), "unix://" + filepath.Join(c.DataDir, "run", "containerd", "containerd.sock")},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	if *c.API.Port != 6443 || *c.Node.Port != 10250 || *c.Node.HealthPort != 10248 {
		t.Errorf("ports %d %d %d", *c.API.Port, *c.Node.Port, *c.Node.HealthPort)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	if c := complete(t, func(c *Config) { c.DataDir = "/var/lib/proa" }); c.RunDir != "/run/proa" {
		t.Errorf("run directory %s", c.RunDir)
	}
	if c := complete(t, func(c *Config) { c.Node.RuntimeEndpoint = "unix:///run/crio.sock" }); c.RuntimeEndpoint() != "unix:///run/crio.sock" {
		t.Errorf("another runtime: %s", c.RuntimeEndpoint())
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	big := 70000
	for field, f := range map[string]func(*Config){
		"network.podCIDR":                    func(c *Config) { c.Network.PodCIDR = "10.42" },
		"network.serviceCIDR":                func(c *Config) { c.Network.ServiceCIDR = "x" },
		"controllers.nodeMonitorGracePeriod": func(c *Config) { c.Controllers.NodeMonitorGracePeriod.Duration = time.Second },
		"network.cni":                        func(c *Config) { c.Network.CNI = "calico" },
		"network.policy":                     func(c *Config) { c.Network.Policy = "calico" },
		"network.bridge":                     func(c *Config) { c.Network.Bridge = "a-very-long-bridge" },
		"api.bindAddress":                    func(c *Config) { c.API.BindAddress = "here" },
		"api.advertiseAddress":               func(c *Config) { c.API.AdvertiseAddress = "there" },
		"api.port":                           func(c *Config) { c.API.Port = &big },
		"node.port":                          func(c *Config) { c.Node.Port = &big },
		"node.healthPort":                    func(c *Config) { c.Node.HealthPort = &big },
		"node.name":                          func(c *Config) { c.Node.Name = "No Name" },
		"node.kubelet.clusterDNS":            func(c *Config) { c.Node.Kubelet.ClusterDNS = []string{"10.0.0.1"} },
		"node.address":                       func(c *Config) { c.Node.Address = "1.2.3" },
		"logLevel":                           func(c *Config) { c.LogLevel = "loud" },
	} {
		err := complete(t, f).Validate()
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	const unset = -1
	port := func(n int) *int { return &n }
	c := Config{DataDir: "/a", API: API{Port: port(1), Names: []string{"n"}}, Node: Node{Port: port(2), Labels: map[string]string{"a": "b"}}}
	c.Overlay(&Config{LogLevel: "debug", API: API{Port: port(unset)}, Node: Node{Port: port(0), Disabled: true, Labels: map[string]string{}}}, unset)
	if c.DataDir != "/a" || c.LogLevel != "debug" || *c.API.Port != 1 || c.API.Names[0] != "n" || *c.Node.Port != 0 || !c.Node.Disabled || c.Node.Labels["a"] != "b" {
		t.Errorf("got %+v", c)
	}
}

func TestNodeAddress(t *testing.T) {
	t.Parallel()
	c := complete(t, func(c *Config) { c.Node.Address = "192.0.2.7" })
	if a, err := nodeAddress(c); err != nil || a != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("given: %v %v", a, err)
	}
	c.Node.Address = ""
	// Whatever the network of this machine, there is always the bridge.
	if a, err := nodeAddress(c); err != nil || !a.IsGlobalUnicast() {
		t.Errorf("found: %v %v", a, err)
	}
}
