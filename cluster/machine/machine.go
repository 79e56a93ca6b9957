package machine

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Interface is the name of a machine's interface to its LAN.
const Interface = "eth0"

// Machine is a value that says all about a machine.
type Machine struct {
	// Name is its host name.
	Name string `json:"name"`
	// Address on the LAN.
	Address netip.Addr `json:"address"`
	// Namespace is the file that its network namespace is kept by.
	Namespace string `json:"namespace"`
	LAN       LAN    `json:"lan"`
}

// Exists tells whether the machine's namespace is there.
func (m Machine) Exists() bool {
	var st unix.Statfs_t
	return unix.Statfs(m.Namespace, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// outer is the name of the LAN's end of the machine's cable: unique among the
// machines of every LAN in the namespace.
func (m Machine) outer() string {
	h := fnv.New32a()
	h.Write([]byte(m.LAN.Bridge + "/" + m.Name)) // never fails
	return fmt.Sprintf("veth%08x", h.Sum32())
}

// Ensure makes the machine's namespace and its connection to the LAN where they
// are missing. The LAN must be there.
func (m Machine) Ensure() error {
	if err := m.ensureNamespace(); err != nil {
		return fmt.Errorf("network namespace of %s: %w", m.Name, err)
	}
	if err := m.ensureCable(); err != nil {
		return fmt.Errorf("network of %s: %w", m.Name, err)
	}
	return nil
}

func (m Machine) ensureNamespace() error {
	if m.Exists() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(m.Namespace), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(m.Namespace, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		// The namespace lives as long as this mount or a process in it.
		return unix.Mount("/proc/thread-self/ns/net", m.Namespace, "", unix.MS_BIND, "")
	})
}

// ensureCable connects the namespace with the bridge.
func (m Machine) ensureCable() error {
	bridge, err := netlink.LinkByName(m.LAN.Bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", m.LAN.Bridge, err)
	}
	ns, err := netns.GetFromPath(m.Namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	if _, err := inside.LinkByName(Interface); isMissing(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.MasterIndex = m.outer(), bridge.Attrs().MTU, bridge.Attrs().Index
		attrs.Flags |= unix.IFF_UP
		if err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: Interface, PeerNamespace: netlink.NsFd(ns), PeerMTU: uint32(bridge.Attrs().MTU),
		}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return m.configure(inside)
}

// configure gives the interface its address and the machine its default route.
func (m Machine) configure(inside *netlink.Handle) error {
	for _, name := range []string{"lo", Interface} {
		link, err := inside.LinkByName(name)
		if err != nil {
			return err
		}
		if err := inside.LinkSetUp(link); err != nil {
			return err
		}
	}
	eth, err := inside.LinkByName(Interface)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(m.Address, m.LAN.Range.Bits()))}
	if err := inside.AddrReplace(eth, addr); err != nil {
		return fmt.Errorf("address %s: %w", m.Address, err)
	}
	gateway := m.LAN.Gateway()
	if err := inside.RouteReplace(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gateway.AsSlice()}); err != nil {
		return fmt.Errorf("route by %s: %w", gateway, err)
	}
	return nil
}

// Remove takes the machine's namespace away, with everything in it.
func (m Machine) Remove() error {
	var errs []error
	// The cable first: a process left in the namespace may keep its other end.
	if err := removeLink(m.outer()); err != nil {
		errs = append(errs, err)
	}
	if m.Exists() {
		if err := unix.Unmount(m.Namespace, unix.MNT_DETACH); err != nil {
			errs = append(errs, err)
		}
	}
	if err := os.Remove(m.Namespace); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the network of %s: %w", m.Name, err)
	}
	return nil
}
