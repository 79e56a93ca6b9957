package cluster

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"proa/network/cni"
)

// podNetwork is the configuration of the node's pod network.
func podNetwork(c *Config) (cni.Config, error) {
	prefix, err := netip.ParsePrefix(c.Network.PodCIDR)
	if err != nil {
		return cni.Config{}, fmt.Errorf("network.podCIDR: %w", err)
	}
	return cni.Config{
		Bridge: c.Network.Bridge, PodCIDRs: []netip.Prefix{prefix},
		ConfDir: c.Network.CNIConfDir, StateDir: filepath.Join(c.RunDir, "cni"),
	}, nil
}
