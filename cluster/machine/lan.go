package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"proa/network/cni"
)

// LAN is a network of machines: a bridge, whose own address is their way out.
type LAN struct {
	// Bridge is the name of the interface, at most 15 bytes.
	Bridge string `json:"bridge"`
	// Range of the addresses, IPv4. The first one is the bridge's.
	Range netip.Prefix `json:"range"`
}

// ErrFull means that a LAN has no address left.
var ErrFull = errors.New("every address of the network of machines is taken")

// Gateway is the bridge's address.
func (l LAN) Gateway() netip.Addr { return l.Range.Masked().Addr().Next() }

// Free finds the lowest address that is not taken. Pure.
func (l LAN) Free(taken []netip.Addr) (netip.Addr, error) {
	used := map[netip.Addr]bool{}
	for _, a := range taken {
		used[a] = true
	}
	// The last one is for broadcast.
	for a := l.Gateway().Next(); l.Range.Contains(a) && l.Range.Contains(a.Next()); a = a.Next() {
		if !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, ErrFull
}

// table is the LAN's nftables table, of family inet.
func (l LAN) table() string { return l.Bridge + "-nodes" }

// gateway is the LAN as the pod network's package sees it: as a bridge whose
// traffic is to be let through.
func (l LAN) gateway() cni.Config {
	return cni.Config{Network: l.Bridge + "-lan", Bridge: l.Bridge, PodCIDRs: []netip.Prefix{l.Range.Masked()}}
}

// Ensure makes the LAN: the bridge with its address, the way from it to the
// outside (masqueraded), and none from it to loopback addresses.
func (l LAN) Ensure(ctx context.Context) error {
	if err := l.ensureBridge(); err != nil {
		return fmt.Errorf("bridge %s of the nodes: %w", l.Bridge, err)
	}
	// For this namespace; the machines' own are their pod network's.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("forwarding for the nodes: %w", err)
	}
	nft, err := knftables.New(knftables.InetFamily, l.table())
	if err == nil {
		err = nft.Run(ctx, l.rules(nft.NewTransaction()))
	}
	if err != nil {
		return fmt.Errorf("nftables table %s: %w", l.table(), err)
	}
	if err := cni.AllowForwarding(ctx, l.gateway()); err != nil {
		return fmt.Errorf("let packets of nodes pass: %w", err)
	}
	return nil
}

// rules fills a transaction with the whole table. Pure.
func (l LAN) rules(tx *knftables.Transaction) *knftables.Transaction {
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("nodes of Proa on this machine")})
	tx.Add(&knftables.Chain{
		Name: "leaving", Type: knftables.PtrTo(knftables.NATType),
		Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	tx.Flush(&knftables.Chain{Name: "leaving"})
	tx.Add(&knftables.Rule{Chain: "leaving", Rule: knftables.Concat(
		"ip saddr", l.Range.Masked(), "ip daddr != { 224.0.0.0/4,", l.Range.Masked(), "} oifname !=", l.Bridge, "masquerade")})
	return tx
}

// ethernetMTU is for machines without a way out.
const ethernetMTU = 1500

func (l LAN) ensureBridge() error {
	link, err := netlink.LinkByName(l.Bridge)
	switch {
	case isMissing(err):
		attrs := netlink.NewLinkAttrs()
		attrs.Name = l.Bridge
		// What leaves a machine leaves this one too: no part of the way may be
		// narrower than the next.
		if attrs.MTU, err = cni.DefaultRouteMTU(); err != nil {
			return err
		}
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		if link, err = netlink.LinkByName(l.Bridge); err != nil {
			return err
		}
	case err != nil:
		return err
	case link.Type() != "bridge":
		return fmt.Errorf("the interface is a %s, not a bridge: choose another name with --bridge", link.Type())
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(l.Gateway(), l.Range.Bits()))}); err != nil {
		return fmt.Errorf("address %s: %w", l.Gateway(), err)
	}
	return netlink.LinkSetUp(link)
}

// Remove takes the LAN away. Its machines must be gone.
func (l LAN) Remove(ctx context.Context) error {
	errs := []error{cni.ForbidForwarding(ctx, l.gateway())}
	nft, err := knftables.New(knftables.InetFamily, l.table())
	if err == nil {
		tx := nft.NewTransaction()
		// Adding first makes deleting work when it is not there.
		tx.Add(&knftables.Table{})
		tx.Delete(&knftables.Table{})
		err = nft.Run(ctx, tx)
	}
	errs = append(errs, err, removeLink(l.Bridge))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the network of nodes: %w", err)
	}
	return nil
}

func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if isMissing(err) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func isMissing(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
