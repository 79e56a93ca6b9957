package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Claim gives this node the address, on its loopback interface, so that it
// answers there itself.
func Claim(a netip.Addr) error {
	lo, addr, err := loopback(a)
	if err != nil {
		return fmt.Errorf("cluster DNS: %w", err)
	}
	if err := netlink.AddrAdd(lo, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cluster DNS: give the node the address %s: %w", a, err)
	}
	return nil
}

// Release takes the address away.
func Release(a netip.Addr) error {
	lo, addr, err := loopback(a)
	if err != nil {
		return fmt.Errorf("cluster DNS: %w", err)
	}
	if err := netlink.AddrDel(lo, addr); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("cluster DNS: take the address %s from the node: %w", a, err)
	}
	return nil
}

// loopback returns the interface, and the address as it is there: of this
// machine only, so that it is never the source of a packet by chance.
func loopback(a netip.Addr) (netlink.Link, *netlink.Addr, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, nil, err
	}
	return lo, &netlink.Addr{
		IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
		Scope: int(netlink.SCOPE_HOST), Flags: unix.IFA_F_NODAD,
	}, nil
}

// Files with the name servers of the node. Where systemd-resolved runs, the
// first names only itself.
var resolvConfs = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// Upstreams are the name servers of this node, but for those that are the node
// itself, and for this one.
func Upstreams(self netip.Addr) ([]string, error) {
	for _, file := range resolvConfs {
		c, err := mdns.ClientConfigFromFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("name servers in %s: %w", file, err)
		}
		servers := slices.DeleteFunc(c.Servers, func(s string) bool {
			host, _, _ := strings.Cut(s, "%")
			a, err := netip.ParseAddr(host)
			return err != nil || a.IsLoopback() || a == self
		})
		if len(servers) > 0 {
			return servers, nil
		}
	}
	return nil, nil
}
