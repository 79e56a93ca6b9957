package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Protocol marks the routes that are made here, in the kernel's and in "ip
// route" ("proto 80"). The kernel's own list of names ends below, routing
// daemons begin above it.
const Protocol netlink.RouteProtocol = 80

// table is this process's routing table, as far as it belongs to the cluster.
type table struct{ cluster []netip.Prefix }

// list returns the routes that were made here.
func (t table) list() ([]route, error) {
	all, err := netlinksafe.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: Protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []route
	for _, r := range all {
		if dst, ok := prefix(r.Dst); ok && inside(t.cluster, dst) {
			via, _ := netip.AddrFromSlice(r.Gw)
			out = append(out, route{dst, via.Unmap()})
		}
	}
	return out, nil
}

// errNotConnected means that no interface leads to a node directly.
var errNotConnected = errors.New("the node is not on a network of this machine")

// set makes a route, or leads it another way.
func (t table) set(r route) error {
	link, err := leading(r.via)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: link, Dst: ipNet(r.dst), Gw: r.via.AsSlice(), Protocol: Protocol,
	})
}

// leading is the interface with an address in the same network.
func leading(via netip.Addr) (link int, err error) {
	addrs, err := netlinksafe.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return 0, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok && p.Contains(via) {
			return a.LinkIndex, nil
		}
	}
	return 0, errNotConnected
}

func (t table) remove(r route) error {
	err := netlink.RouteDel(&netlink.Route{Dst: ipNet(r.dst), Protocol: Protocol})
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// resubscribe is the pause before the kernel is asked again to tell of changes.
const resubscribe = time.Second

// watch calls f when a route that was made here has gone, and whenever changes
// may have been missed, until ctx ends.
func (t table) watch(ctx context.Context, log *slog.Logger, f func()) {
	for ctx.Err() == nil {
		if err := t.follow(ctx, f); err != nil && ctx.Err() == nil {
			log.Warn("the kernel does not tell of changes of routes; it is asked again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(resubscribe):
		}
	}
}

// follow returns when the subscription has ended.
func (t table) follow(ctx context.Context, f func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan netlink.RouteUpdate, 64)
	var lost error // written before updates is closed
	err := netlink.RouteSubscribeWithOptions(updates, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: func(err error) { lost = err }})
	if err != nil {
		return err
	}
	f()
	for u := range updates {
		if u.Type == unix.RTM_DELROUTE && u.Protocol == Protocol {
			f()
		}
	}
	return lost
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), ones), true
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
