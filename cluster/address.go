package cluster

import (
	"errors"
	"net"
	"net/netip"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
)

// errNoAddress means that the machine has no address but loopback.
var errNoAddress = errors.New("this machine has no address that others could reach it by; give it one with --node-ip")

// nodeAddress finds the address by which others reach this machine: that of the
// interface with the default route, else the first global one, else that of the
// pod network's bridge, which exists on a machine without any network.
func nodeAddress(c *Config) (netip.Addr, error) {
	if c.Node.Address != "" {
		return netip.ParseAddr(c.Node.Address)
	}
	if a, ok := defaultRouteAddress(); ok {
		return a, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		// The address of the cluster's DNS is every node's.
		if err == nil && p.Addr().IsGlobalUnicast() && p.Addr().Is4() && p.Addr().String() != c.Network.ClusterDNS {
			return p.Addr(), nil
		}
	}
	if c.Network.CNI == "bridge" {
		// The first node has the first range, and its bridge the first address.
		p, err := netip.ParsePrefix(c.Network.PodCIDR)
		if err == nil {
			return p.Masked().Addr().Next(), nil
		}
	}
	return netip.Addr{}, errNoAddress
}

func defaultRouteAddress() (netip.Addr, bool) {
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, r := range routes {
		if a, ok := netip.AddrFromSlice(r.Src.To4()); ok {
			return a, true
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			continue
		}
		addrs, err := netlinksafe.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && ip.IsGlobalUnicast() {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}
