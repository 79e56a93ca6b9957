package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
)

// Names that Proa uses where it is asked for none.
const (
	DefaultNetwork = "proa"
	DefaultBridge  = "proa0"
	// ConfigFile sorts before what most others install; it is only written to
	// a directory that is Proa's own.
	ConfigFile = "10-proa.conflist"
	// Plugin is the program that attaches pods, see network/cni/bridge.
	Plugin = "proa-bridge"
)

// version of the CNI specification that the configuration asks for.
const version = "1.0.0"

// Config describes the pod network of one node.
type Config struct {
	// Network names the network in the plugins' records. Default: "proa".
	Network string
	// Bridge is the interface that the pods are attached to, at most 15 bytes.
	// Default: "proa0".
	Bridge string
	// PodCIDRs are this node's ranges: one of IPv4, one of IPv6, or one of each.
	PodCIDRs []netip.Prefix
	// Cluster are the ranges that pods speak to under their own addresses: those
	// of all pods and, where they have a route back, of nodes. Default: PodCIDRs.
	Cluster []netip.Prefix
	// MTU of the pods' interfaces, in bytes; 0 takes that of the interface with
	// the default route.
	MTU int
	// ConfDir receives the configuration; StateDir keeps which pod has which
	// address.
	ConfDir, StateDir string
}

func (c Config) withDefaults() Config {
	if c.Network == "" {
		c.Network = DefaultNetwork
	}
	if c.Bridge == "" {
		c.Bridge = DefaultBridge
	}
	if len(c.Cluster) == 0 {
		c.Cluster = c.PodCIDRs
	}
	return c
}

// maxInterfaceName is what the kernel takes, in bytes.
const maxInterfaceName = 15

func (c Config) validate() error {
	var errs []error
	if len(c.Bridge) > maxInterfaceName {
		errs = append(errs, fmt.Errorf("bridge name %q is longer than %d bytes", c.Bridge, maxInterfaceName))
	}
	families := map[bool]bool{}
	for _, p := range c.PodCIDRs {
		if !p.IsValid() || p != p.Masked() {
			errs = append(errs, fmt.Errorf("pod range %s is not a network address", p))
			continue
		}
		if families[p.Addr().Is4()] {
			errs = append(errs, fmt.Errorf("pod range %s: one per address family", p))
		}
		families[p.Addr().Is4()] = true
	}
	if len(c.PodCIDRs) == 0 {
		errs = append(errs, errors.New("a pod range is required"))
	}
	if !filepath.IsAbs(c.ConfDir) || !filepath.IsAbs(c.StateDir) {
		errs = append(errs, fmt.Errorf("ConfDir %q and StateDir %q must be absolute paths", c.ConfDir, c.StateDir))
	}
	return errors.Join(errs...)
}

// The JSON of the plugins, as far as it is used.
type (
	confList struct {
		CNIVersion string `json:"cniVersion"`
		Name       string `json:"name"`
		Plugins    []any  `json:"plugins"`
	}
	bridgeConf struct {
		Type         string          `json:"type"`
		Bridge       string          `json:"bridge"`
		MTU          int             `json:"mtu,omitempty"`
		IPAM         ipamConf        `json:"ipam"`
		Capabilities map[string]bool `json:"capabilities"`
		PortMap      portmapConf     `json:"portmap"`
	}
	ipamConf struct {
		Type    string        `json:"type"`
		DataDir string        `json:"dataDir"`
		Ranges  [][]ipamRange `json:"ranges"`
	}
	ipamRange struct {
		Subnet string `json:"subnet"`
	}
	portmapConf struct {
		SNAT    bool   `json:"snat"`
		Backend string `json:"backend"`
	}
)

// conflist renders the configuration. Pure.
func conflist(c Config) ([]byte, error) {
	ipam := ipamConf{Type: "host-local", DataDir: ipamDir(c)}
	for _, p := range c.PodCIDRs {
		ipam.Ranges = append(ipam.Ranges, []ipamRange{{Subnet: p.String()}})
	}
	b, err := json.MarshalIndent(confList{
		CNIVersion: version,
		Name:       c.Network,
		Plugins: []any{
			bridgeConf{
				Type: Plugin, Bridge: c.Bridge, MTU: c.MTU, IPAM: ipam,
				Capabilities: map[string]bool{"portMappings": true},
				PortMap:      portmapConf{SNAT: true, Backend: "nftables"},
			},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("pod network configuration: %w", err)
	}
	return append(b, '\n'), nil
}

func ipamDir(c Config) string { return filepath.Join(c.StateDir, "ipam") }
