package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ip"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
)

// routes are the pod's: everything goes by way of the bridge, whose addresses are
// the gateways of the ranges.
func routes(ips []*current.IPConfig) []*types.Route {
	var out []*types.Route
	for _, ip := range ips {
		all := net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		if ip.Gateway.To4() == nil {
			all = net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		out = append(out, &types.Route{Dst: all, GW: ip.Gateway})
	}
	return out
}

// link makes the pair of interfaces between the bridge and the pod. It returns
// the bridge, the end on it, and the pod's.
func link(c *config, pod ns.NetNS, args *skel.CmdArgs, ips []*current.IPConfig) ([]*current.Interface, error) {
	bridge, err := ensureBridge(c, ips)
	if err != nil {
		return nil, err
	}
	host, err := makePair(c, bridge, pod, args.IfName)
	if err != nil {
		return nil, err
	}
	var mac net.HardwareAddr
	err = pod.Do(func(ns.NetNS) error {
		mac, err = configure(args.IfName, ips)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("set up %s in the pod: %w", args.IfName, err)
	}
	return []*current.Interface{
		{Name: c.Bridge, Mac: bridge.Attrs().HardwareAddr.String()},
		{Name: host.Attrs().Name, Mac: host.Attrs().HardwareAddr.String()},
		{Name: args.IfName, Mac: mac.String(), Sandbox: args.Netns},
	}, nil
}

// ensureBridge finds or makes the bridge, with the gateways' addresses, and lets
// the kernel forward packets. Others may do the same at the same time.
func ensureBridge(c *config, ips []*current.IPConfig) (netlink.Link, error) {
	bridge, err := netlink.LinkByName(c.Bridge)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		bridge, err = makeBridge(c)
	}
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", c.Bridge, err)
	}
	if bridge.Type() != "bridge" {
		return nil, fmt.Errorf("the interface %s is a %s, not a bridge: remove it, or choose another name", c.Bridge, bridge.Type())
	}
	for _, ip := range ips {
		if err := addAddress(bridge, ip.Gateway, ip.Address.Mask); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", c.Bridge, err)
		}
	}
	if bridge.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(bridge); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", c.Bridge, err)
		}
	}
	if err := ip.EnableForward(ips); err != nil {
		return nil, fmt.Errorf("let the kernel forward packets: %w", err)
	}
	return bridge, nil
}

func makeBridge(c *config) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = c.Bridge, c.MTU
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, syscall.EEXIST) {
		return nil, err
	}
	bridge, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return nil, err
	}
	// A bridge has the lowest address of its members, and changes it as they come
	// and go, unless one has been set.
	if err := netlink.LinkSetHardwareAddr(bridge, bridge.Attrs().HardwareAddr); err != nil {
		return nil, err
	}
	// What a pod says about routes is not for the node (CVE-2020-10749).
	return bridge, sysctl("net/ipv6/conf/"+c.Bridge+"/accept_ra", "0")
}

// makePair makes a pair of interfaces with one end on the bridge, up, and the
// other one in the pod.
func makePair(c *config, bridge netlink.Link, pod ns.NetNS, name string) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.MTU = c.MTU
	var err error
	// The name is drawn at random: it is free but for one time in a billion.
	for range 4 {
		attrs.Name = pairName()
		err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(int(pod.Fd())), PeerTxQLen: -1})
		if !errors.Is(err, syscall.EEXIST) || podHas(pod, name) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the pod's interface %s: %w", name, err)
	}
	host, err := netlink.LinkByName(attrs.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attrs.Name, err)
	}
	if err := netlink.LinkSetMaster(host, bridge); err != nil {
		return nil, fmt.Errorf("put %s on the bridge: %w", attrs.Name, err)
	}
	// A pod reaches itself through its own service.
	if err := netlink.LinkSetHairpin(host, true); err != nil {
		return nil, fmt.Errorf("let %s answer itself: %w", attrs.Name, err)
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return nil, fmt.Errorf("%s: %w", attrs.Name, err)
	}
	return host, nil
}

func pairName() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "veth" + hex.EncodeToString(b[:])
}

// podHas tells whether the pod has an interface of that name already, which no
// other name of the host's end will change.
func podHas(pod ns.NetNS, name string) bool {
	return pod.Do(func(ns.NetNS) error {
		_, err := netlink.LinkByName(name)
		return err
	}) == nil
}

// configure gives the pod's interface its addresses and routes. It runs in the
// pod's namespace.
func configure(name string, ips []*current.IPConfig) (net.HardwareAddr, error) {
	eth, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	// Neighbours may know the address by the interface of the pod that had it
	// before: they are told when it comes up.
	for _, ip := range ips {
		setting := "net/ipv4/conf/" + name + "/arp_notify"
		if ip.Address.IP.To4() == nil {
			if err := sysctl("net/ipv6/conf/"+name+"/disable_ipv6", "0"); err != nil {
				return nil, err
			}
			setting = "net/ipv6/conf/" + name + "/ndisc_notify"
		}
		if err := sysctl(setting, "1"); err != nil {
			return nil, err
		}
	}
	for _, ip := range ips {
		if err := addAddress(eth, ip.Address.IP, ip.Address.Mask); err != nil {
			return nil, err
		}
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return nil, err
	}
	for _, r := range routes(ips) {
		// Of two ranges of one family, the first one's gateway is as good.
		err := netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: &r.Dst, Gw: r.GW})
		if err != nil && !errors.Is(err, syscall.EEXIST) {
			return nil, fmt.Errorf("default route by %s: %w", r.GW, err)
		}
	}
	return eth.Attrs().HardwareAddr, nil
}

// addAddress gives an interface an address, unless it has it. An IPv6 address can
// be used at once: the range is the node's, so there is nobody to ask.
func addAddress(l netlink.Link, ip net.IP, mask net.IPMask) error {
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: mask}}
	if ip.To4() == nil {
		addr.Flags = syscall.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(l, addr); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("address %s: %w", ip, err)
	}
	return nil
}

// unlink removes the pod's interface, and with it the end on the bridge.
func unlink(pod ns.NetNS, name string) error {
	err := pod.Do(func(ns.NetNS) error { return ip.DelLinkByName(name) })
	if err != nil && !errors.Is(err, ip.ErrLinkNotFound) {
		return fmt.Errorf("remove %s of the pod: %w", name, err)
	}
	return nil
}

// onBridge tells whether the host's end is on the bridge.
func onBridge(name string, interfaces []*current.Interface) error {
	bridge, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	for _, i := range interfaces {
		if i.Sandbox != "" || i.Name == name {
			continue
		}
		host, err := netlink.LinkByName(i.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
		if host.Attrs().MasterIndex != bridge.Attrs().Index {
			return fmt.Errorf("%s is not on the bridge %s", i.Name, name)
		}
	}
	return nil
}

// sysctl sets a setting of the thread's network namespace. IPv6 may be switched
// off in the kernel: then there is nothing to set.
func sysctl(name, value string) error {
	err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
