package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// node is a network namespace that stands for a node, and its configuration.
type node struct {
	t    *testing.T
	ns   ns.NetNS
	dir  string
	conf map[string]any
}

func newNode(t *testing.T, subnets ...string) *node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the tests of the pod network make network namespaces and must run as root: use \"make test\"")
	}
	n := &node{t: t, dir: t.TempDir()}
	var err error
	if n.ns, err = ns.GetNS(n.namespace("node")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.ns.Close() })
	var ranges []any
	for _, s := range subnets {
		ranges = append(ranges, []any{map[string]any{"subnet": s}})
	}
	n.conf = map[string]any{
		"cniVersion": "1.0.0", "name": "test", "type": "proa-bridge", "bridge": "br0", "mtu": 1400,
		"ipam": map[string]any{"type": "host-local", "dataDir": filepath.Join(n.dir, "ipam"), "ranges": ranges},
	}
	return n
}

// namespace makes a network namespace, pinned to a file, and returns its path.
func (n *node) namespace(name string) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

func (n *node) args(id, netns string) *skel.CmdArgs {
	n.t.Helper()
	b, err := json.Marshal(n.conf)
	if err != nil {
		n.t.Fatal(err)
	}
	return &skel.CmdArgs{ContainerID: id, Netns: netns, IfName: "eth0", StdinData: b}
}

func (n *node) attach(id, netns string) (result *current.Result, err error) {
	args := n.args(id, netns)
	c, err := parse(args.StdinData)
	if err != nil {
		return nil, err
	}
	doErr := n.ns.Do(func(ns.NetNS) error {
		result, err = attach(c, args)
		return nil
	})
	if doErr != nil {
		n.t.Fatal(doErr)
	}
	return result, err
}

func (n *node) detach(id, netns string) {
	n.t.Helper()
	args := n.args(id, netns)
	if err := n.ns.Do(func(ns.NetNS) error { return del(args) }); err != nil {
		n.t.Errorf("detach %s: %v", id, err)
	}
}

// check inspects the pod as the runtime would, which hands back the result.
func (n *node) check(id, netns string, result *current.Result) error {
	n.conf["prevResult"] = result
	defer delete(n.conf, "prevResult")
	args := n.args(id, netns)
	return n.ns.Do(func(ns.NetNS) error { return check(args) })
}

// reserved are the addresses that are somebody's, by the records on disk.
func (n *node) reserved() []string {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.dir, "ipam", "test"))
	if err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.Name() != "lock" && !strings.HasPrefix(e.Name(), "last_reserved_ip") {
			out = append(out, e.Name())
		}
	}
	return out
}

// members counts the interfaces on the bridge.
func (n *node) members() int {
	n.t.Helper()
	count := 0
	if err := n.ns.Do(func(ns.NetNS) error {
		bridge, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		links, err := netlink.LinkList()
		for _, l := range links {
			if l.Attrs().MasterIndex == bridge.Attrs().Index {
				count++
			}
		}
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	return count
}

// reach opens a connection from one pod to another, in both families.
func (n *node) reach(from, to string, result *current.Result) {
	n.t.Helper()
	for _, ip := range result.IPs {
		var l net.Listener
		err := ns.WithNetNSPath(to, func(ns.NetNS) (err error) {
			l, err = net.Listen("tcp", net.JoinHostPort(ip.Address.IP.String(), "0"))
			return err
		})
		if err != nil {
			n.t.Fatal(err)
		}
		defer l.Close()
		if err := ns.WithNetNSPath(from, func(ns.NetNS) error {
			// A socket belongs to the namespace of the thread that makes it:
			// Dialer may use another thread for names, but there are none.
			conn, err := net.DialTimeout("tcp", l.Addr().String(), 30*time.Second)
			if err != nil {
				return err
			}
			return conn.Close()
		}); err != nil {
			n.t.Errorf("%s is not reached: %v", ip.Address.IP, err)
		}
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	n := newNode(t, "10.42.3.0/24", "fd00:42::/64")
	a, b := n.namespace("a"), n.namespace("b")
	ra, err := n.attach("a", a)
	if err != nil {
		t.Fatal(err)
	}
	rb, err := n.attach("b", b)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{ra.IPs[0].Address.String(), ra.IPs[1].Address.String()}; !slices.Equal(got, []string{"10.42.3.2/24", "fd00:42::2/64"}) {
		t.Errorf("addresses: %v", got)
	}
	if len(ra.Interfaces) != 3 || ra.Interfaces[0].Name != "br0" || ra.Interfaces[2].Name != "eth0" || ra.Interfaces[2].Sandbox != a || *ra.IPs[0].Interface != 2 {
		t.Errorf("interfaces: %+v, %v", ra.Interfaces, *ra.IPs[0].Interface)
	}
	n.reach(a, b, rb)
	n.reach(b, a, ra)
	// A pod reaches the node by its gateway.
	n.reach(a, filepath.Join(n.dir, "node"), &current.Result{IPs: []*current.IPConfig{
		{Address: net.IPNet{IP: ra.IPs[0].Gateway}}, {Address: net.IPNet{IP: ra.IPs[1].Gateway}},
	}})
	if err := n.check("a", a, ra); err != nil {
		t.Errorf("check: %v", err)
	}

	// A second interface of the same name is refused, and nothing of it is left.
	if _, err := n.attach("a2", a); err == nil {
		t.Error("a pod was attached twice")
	}
	for range 2 { // what is gone is not missed
		n.detach("b", b)
	}
	if err := n.check("b", b, rb); err == nil || !strings.Contains(err.Error(), "no address reserved") {
		t.Errorf("check of a pod that has ended: %v", err)
	}
	// A namespace may be gone, and the interface with it.
	if err := unix.Unmount(a, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	n.detach("a", a)
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	n.detach("a", a)
	n.detach("a", "")
	if left := n.reserved(); len(left) != 0 {
		t.Errorf("addresses are left: %v", left)
	}
}

// TestAttachFails: whatever goes wrong, nothing is left behind.
func TestAttachFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		with func(n *node) (netns string)
		want string
	}{
		{"no namespace", func(n *node) string { return filepath.Join(n.dir, "gone") }, "network namespace"},
		{"not a bridge", func(n *node) string {
			if err := n.ns.Do(func(ns.NetNS) error {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = "br0"
				return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "other"})
			}); err != nil {
				n.t.Fatal(err)
			}
			return n.namespace("pod")
		}, "is a veth, not a bridge"},
		{"a range that is full", func(n *node) string {
			n.conf["ipam"].(map[string]any)["ranges"] = []any{[]any{map[string]any{"subnet": "10.42.3.0/30"}}}
			if _, err := n.attach("first", n.namespace("first")); err != nil {
				n.t.Fatal(err)
			}
			return n.namespace("pod")
		}, "no IP addresses available"},
		{"the second range is full", func(n *node) string {
			n.conf["ipam"].(map[string]any)["ranges"] = []any{
				[]any{map[string]any{"subnet": "10.42.4.0/24"}}, []any{map[string]any{"subnet": "10.42.3.0/30"}},
			}
			if _, err := n.attach("first", n.namespace("first")); err != nil {
				n.t.Fatal(err)
			}
			return n.namespace("pod")
		}, "no IP addresses available"},
		{"no bridge named", func(n *node) string {
			delete(n.conf, "bridge")
			return n.namespace("pod")
		}, "must name a bridge"},
		{"portmap fails", func(n *node) string {
			n.conf["runtimeConfig"] = map[string]any{"portMappings": []any{map[string]any{"hostPort": 1, "containerPort": 2, "protocol": "tcp"}}}
			return n.namespace("pod")
		}, "map host ports"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "10.42.3.0/24")
			if err := os.MkdirAll(filepath.Join(n.dir, "ipam", "test"), 0o755); err != nil {
				t.Fatal(err)
			}
			netns := tt.with(n)
			before := n.reserved()
			_, err := n.attach("pod", netns)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if after := n.reserved(); !slices.Equal(before, after) {
				t.Errorf("addresses: %v before, %v after", before, after)
			}
			err = ns.WithNetNSPath(netns, func(ns.NetNS) error {
				_, err := netlink.LinkByName("eth0")
				return err
			})
			if err == nil {
				t.Error("an interface is left")
			}
		})
	}
}

// TestAttachTogether: pods that come at once, on a node without a bridge yet.
func TestAttachTogether(t *testing.T) {
	t.Parallel()
	const pods = 12
	n := newNode(t, "10.42.3.0/24")
	var spaces []string
	for i := range pods {
		spaces = append(spaces, n.namespace(fmt.Sprint(i)))
	}
	var mu sync.Mutex
	addresses := map[string]bool{}
	var wg sync.WaitGroup
	for i, netns := range spaces {
		wg.Go(func() {
			r, err := n.attach(fmt.Sprint(i), netns)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			addresses[r.IPs[0].Address.IP.String()] = true
		})
	}
	wg.Wait()
	if len(addresses) != pods || n.members() != pods {
		t.Errorf("%d addresses and %d interfaces for %d pods", len(addresses), n.members(), pods)
	}
	for i, netns := range spaces {
		wg.Go(func() { n.detach(fmt.Sprint(i), netns) })
	}
	wg.Wait()
	if left := n.reserved(); len(left) != 0 || n.members() != 0 {
		t.Errorf("left: addresses %v, %d interfaces", left, n.members())
	}
}

// TestInspect finds what has been changed behind the plugin's back.
func TestInspect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func() error // in the pod
		node   func(r *current.Result) error
	}{
		{"address removed", func() error { return netlink.AddrDel(mustLink(t, "eth0"), &netlink.Addr{IPNet: ipnet("10.42.3.2/24")}) }, nil},
		{"interface removed", func() error { return netlink.LinkDel(mustLink(t, "eth0")) }, nil},
		{"route removed", func() error {
			return netlink.RouteDel(&netlink.Route{LinkIndex: mustLink(t, "eth0").Attrs().Index, Dst: ipnet("0.0.0.0/0")})
		}, nil},
		{"off the bridge", nil, func(r *current.Result) error { return netlink.LinkSetNoMaster(mustLink(t, r.Interfaces[1].Name)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "10.42.3.0/24")
			pod := n.namespace("pod")
			r, err := n.attach("pod", pod)
			if err != nil {
				t.Fatal(err)
			}
			if err := n.check("pod", pod, r); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				err = ns.WithNetNSPath(pod, func(ns.NetNS) error { return tt.change() })
			} else {
				err = n.ns.Do(func(ns.NetNS) error { return tt.node(r) })
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := n.check("pod", pod, r); err == nil {
				t.Error("the change was not found")
			}
		})
	}
}

func mustLink(t *testing.T, name string) netlink.Link {
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Error(err)
		return &netlink.Veth{}
	}
	return l
}

func ipnet(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	n.IP = ip
	return n
}
