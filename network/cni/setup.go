package cni

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"sigs.k8s.io/knftables"
)

// ErrForeign means that the configuration directory holds a network of somebody
// else, which is then the one that pods use.
var ErrForeign = errors.New("another pod network is configured")

// Setup makes the node ready for pods. It is idempotent, and a change of the
// configuration (a new range, another MTU) takes effect for pods started after
// it. Errors that satisfy errors.Is(err, ErrForeign) mean that nothing was done
// on purpose.
func Setup(ctx context.Context, c Config) error {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	foreign, err := foreignConfig(c.ConfDir)
	if err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	if foreign != "" {
		return fmt.Errorf("pod network: %s: %w", foreign, ErrForeign)
	}
	if c.MTU == 0 {
		if c.MTU, err = DefaultRouteMTU(); err != nil {
			return fmt.Errorf("pod network: %w", err)
		}
	}
	data, err := conflist(c)
	if err != nil {
		return err
	}
	// The rules first: from the moment the file is there, pods may start.
	nft, err := knftables.New(knftables.InetFamily, tableName(c))
	if err != nil {
		return fmt.Errorf("pod network: nftables (package nftables): %w", err)
	}
	if err := applyRules(ctx, nft, c); err != nil {
		return fmt.Errorf("pod network: nftables table %s: %w", tableName(c), err)
	}
	if err := filterBridged(); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	if err := AllowForwarding(ctx, c); err != nil {
		return fmt.Errorf("pod network: let packets of pods pass: %w", err)
	}
	if err := os.MkdirAll(ipamDir(c), 0o755); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	return writeConfig(filepath.Join(c.ConfDir, ConfigFile), data)
}

// foreignConfig returns the name of a CNI configuration that is not ours, or "".
func foreignConfig(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".conf", ".conflist", ".json":
			if e.Name() != ConfigFile && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				return filepath.Join(dir, e.Name()), nil
			}
		}
	}
	return "", nil
}

// writeConfig replaces the file in one step, because the runtime watches the
// directory and reads what it sees; and only if it differs, for the same reason.
func writeConfig(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	// The suffix is none of those that runtimes load.
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	return nil
}

// fallbackMTU is Ethernet's, for machines without a default route.
const fallbackMTU = 1500

// DefaultRouteMTU is the MTU of the interface that leads out of this machine.
func DefaultRouteMTU() (int, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlinksafe.RouteList(nil, family)
		if err != nil {
			return 0, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
				continue
			}
			link, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				continue // gone since, or a multipath route without one
			}
			if mtu := link.Attrs().MTU; mtu > 0 {
				return mtu, nil
			}
		}
	}
	return fallbackMTU, nil
}
