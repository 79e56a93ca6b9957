package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// flow is a UDP connection as the kernel tracks it: what the client addressed,
// and who answers.
type flow struct{ to, by netip.AddrPort }

// flows are the UDP connections that the kernel tracks.
type flows interface {
	// forget ends the tracking of those for which stale is true.
	forget(v6 bool, stale func(flow) bool) error
}

// forget makes the kernel forget UDP connections of the fronts that no longer
// lead to an endpoint of theirs. Without, a client that goes on sending from
// one port would never reach another endpoint: each packet renews the entry.
func forget(all flows, changed map[Key]*Front, v6 bool) error {
	fronts := map[Key]*Front{}
	for k, f := range changed {
		if k.Protocol == v1.ProtocolUDP {
			fronts[k] = f
		}
	}
	if len(fronts) == 0 {
		return nil
	}
	here, err := nodeAddresses()
	if err != nil {
		return err
	}
	return all.forget(v6, func(f flow) bool { return stale(fronts, here, f, v6) })
}

func nodeAddresses() (map[netip.Addr]bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of the node: %w", err)
	}
	out := map[netip.Addr]bool{}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out[p.Addr()] = true
		}
	}
	return out, nil
}

// stale tells whether a connection to one of the fronts leads elsewhere than to
// its endpoints. here are the node's addresses, which have the node ports.
func stale(fronts map[Key]*Front, here map[netip.Addr]bool, f flow, v6 bool) bool {
	k := Key{Addr: f.to.Addr(), V6: v6, Protocol: v1.ProtocolUDP, Port: f.to.Port()}
	front, ok := fronts[k]
	if !ok && here[k.Addr] {
		k.Addr = netip.Addr{}
		front, ok = fronts[k]
	}
	switch {
	case !ok:
		return false
	case front == nil:
		return f.by != f.to // it was translated, by a front that is gone
	}
	return !slices.Contains(front.Targets, f.by) && !slices.Contains(front.Local, f.by)
}

// kernelFlows are the flows of this network namespace.
type kernelFlows struct{}

func (kernelFlows) forget(v6 bool, stale func(flow) bool) error {
	family := netlink.InetFamily(unix.AF_INET)
	if v6 {
		family = unix.AF_INET6
	}
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, matcher(stale))
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		_, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, matcher(stale))
	}
	return err
}

type matcher func(flow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (m matcher) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if f.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	to, ok := netip.AddrFromSlice(f.Forward.DstIP)
	by, ok2 := netip.AddrFromSlice(f.Reverse.SrcIP)
	return ok && ok2 && m(flow{
		to: netip.AddrPortFrom(to.Unmap(), f.Forward.DstPort), by: netip.AddrPortFrom(by.Unmap(), f.Reverse.SrcPort),
	})
}
