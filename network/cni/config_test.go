package cni

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/knftables"
)

func testConfig(t *testing.T) Config {
	return Config{
		Network: "test", Bridge: "br-test", MTU: 1400,
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.3.0/24"), netip.MustParsePrefix("fd00:42::/64")},
		Cluster:  []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd00:42::/56")},
		ConfDir:  filepath.Join(t.TempDir(), "net.d"), StateDir: "/state",
	}
}

func TestConflist(t *testing.T) {
	t.Parallel()
	got, err := conflist(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	const golden = `{
  "cniVersion": "1.0.0",
  "name": "test",
  "plugins": [
    {
      "type": "proa-bridge",
      "bridge": "br-test",
      "mtu": 1400,
      "ipam": {
        "type": "host-local",
        "dataDir": "/state/ipam",
        "ranges": [
          [
            {
              "subnet": "10.42.3.0/24"
            }
          ],
          [
            {
              "subnet": "fd00:42::/64"
            }
          ]
        ]
      },
      "capabilities": {
        "portMappings": true
      },
      "portmap": {
        "snat": true,
        "backend": "nftables"
      }
    }
  ]
}
`
	if string(got) != golden {
		t.Errorf("got:\n%s", got)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"fine", func(*Config) {}, ""},
		{"host bits", func(c *Config) { c.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")} }, "is not a network address"},
		{"same family", func(c *Config) {
			c.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.1.0/24")}
		}, "one per address family"},
		{"no range", func(c *Config) { c.PodCIDRs = nil }, "a pod range is required"},
		{"long bridge", func(c *Config) { c.Bridge = "a-bridge-too-far" }, "longer than 15 bytes"},
		{"relative", func(c *Config) { c.ConfDir = "net.d" }, "absolute paths"},
	} {
		c := testConfig(t)
		tt.change(&c)
		err := c.validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	nft := knftables.NewFake(knftables.InetFamily, tableName(c))
	// Twice, for the second must replace and not add.
	for range 2 {
		if err := applyRules(context.Background(), nft, c); err != nil {
			t.Fatal(err)
		}
	}
	const golden = `add table inet test-pods { comment "pod network of Proa" ; }
add chain inet test-pods from_pods { type filter hook prerouting priority -300 ; }
add chain inet test-pods leaving { type nat hook postrouting priority 100 ; }
add rule inet test-pods from_pods iifname br-test ip daddr 127.0.0.0/8 drop
add rule inet test-pods from_pods iifname br-test ip6 daddr ::1 drop
add rule inet test-pods leaving ip saddr 10.42.3.0/24 ip daddr 224.0.0.0/4 return
add rule inet test-pods leaving ip saddr 10.42.3.0/24 ip daddr 10.42.0.0/16 return
add rule inet test-pods leaving ip saddr 10.42.3.0/24 oifname != br-test masquerade
add rule inet test-pods leaving ip6 saddr fd00:42::/64 ip6 daddr ff00::/8 return
add rule inet test-pods leaving ip6 saddr fd00:42::/64 ip6 daddr fd00:42::/56 return
add rule inet test-pods leaving ip6 saddr fd00:42::/64 oifname != br-test masquerade
`
	if got := nft.Dump(); got != golden {
		t.Errorf("got:\n%s", got)
	}
}

// Other people's configuration wins, and is left alone.
func TestForeignConfig(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.StateDir = t.TempDir()
	if err := os.MkdirAll(c.ConfDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README", ".hidden.conf", ConfigFile} {
		if err := os.WriteFile(filepath.Join(c.ConfDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := foreignConfig(c.ConfDir); name != "" || err != nil {
		t.Errorf("foreign: %q, %v", name, err)
	}
	theirs := filepath.Join(c.ConfDir, "05-cilium.conflist")
	if err := os.WriteFile(theirs, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Setup(context.Background(), c); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), theirs) {
		t.Errorf("Setup: %v", err)
	}
}

func TestWriteConfigOnlyIfChanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "x.conflist")
	if err := writeConfig(path, []byte("a")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeConfig(path, []byte("a")); err != nil {
		t.Fatal(err)
	}
	same, _ := os.Stat(path)
	if err := writeConfig(path, []byte("b")); err != nil {
		t.Fatal(err)
	}
	changed, _ := os.Stat(path)
	if !os.SameFile(before, same) || os.SameFile(before, changed) {
		t.Error("the file was replaced without need, or not with it")
	}
}

// A pod's rules go, the other's stay; and with the last rule goes the table.
func TestRemovePodRules(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nft := knftables.NewFake(knftables.IPv4Family, portmapTable)
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Add(&knftables.Chain{Name: "hostports"})
	tx.Add(&knftables.Rule{Chain: "hostports", Rule: "tcp dport 80 drop", Comment: knftables.PtrTo("ours")})
	tx.Add(&knftables.Rule{Chain: "hostports", Rule: "tcp dport 81 drop", Comment: knftables.PtrTo("theirs")})
	if err := nft.Run(ctx, tx); err != nil {
		t.Fatal(err)
	}
	if err := removePodRules(ctx, nft, map[string]bool{"ours": true}); err != nil {
		t.Fatal(err)
	}
	if d := nft.Dump(); strings.Contains(d, "ours") || !strings.Contains(d, "theirs") {
		t.Errorf("after the first removal:\n%s", d)
	}
	if err := removePodRules(ctx, nft, map[string]bool{"theirs": true}); err != nil {
		t.Fatal(err)
	}
	if d := nft.Dump(); d != "" {
		t.Errorf("after the last removal:\n%s", d)
	}
	if err := removePodRules(ctx, nft, map[string]bool{"theirs": true}); err != nil {
		t.Errorf("without a table: %v", err)
	}
}

func TestAttached(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"10.0.0.2": "abc\r\neth0", "10.0.0.3": "def\r\neth0", "last_reserved_ip.0": "10.0.0.3", "lock": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := attached(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) != 2 || !ids["abc"] || !ids["def"] {
		t.Errorf("got %v", ids)
	}
	if ids, err := attached(filepath.Join(dir, "none")); len(ids) != 0 || err != nil {
		t.Errorf("without a directory: %v, %v", ids, err)
	}
}
