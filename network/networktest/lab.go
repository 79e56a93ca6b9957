package networktest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Lab is a node with two pods on a bridge and a client outside, each in a
// network namespace that the test makes.
//
//	client 192.0.2.2, 2001:db8::2 ── node .1, ::1 ── bridge 10.42.0.1, fd00:42::1
//	                                                 ├─ pod a .2, ::2
//	                                                 └─ pod b .3, ::3
type Lab struct {
	T                  *testing.T
	Client, Node, A, B Space
}

// Space is a network namespace.
type Space struct {
	t    *testing.T
	name string
	ns   netns.NsHandle
}

var labs atomic.Int32

// New makes a lab, which goes with the test.
func New(t *testing.T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests make network namespaces and must run as root: use \"make test\"")
	}
	n := labs.Add(1)
	l := &Lab{T: t}
	for name, s := range map[string]*Space{"client": &l.Client, "node": &l.Node, "a": &l.A, "b": &l.B} {
		*s = newSpace(t, fmt.Sprintf("nt%d-%d-%s", os.Getpid(), n, name))
	}
	l.Node.Run("ip link add br0 type bridge")
	l.Node.Run("ip link set br0 up")
	l.Node.Run("ip addr add 10.42.0.1/24 dev br0")
	l.Node.Run("ip addr add fd00:42::1/64 dev br0 nodad")
	l.Node.Run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
	l.wire(&l.Client, "192.0.2.2/24", "2001:db8::2/64", "")
	l.Node.Run("ip addr add 192.0.2.1/24 dev client")
	l.Node.Run("ip addr add 2001:db8::1/64 dev client nodad")
	l.wire(&l.A, "10.42.0.2/24", "fd00:42::2/64", "br0")
	l.wire(&l.B, "10.42.0.3/24", "fd00:42::3/64", "br0")
	l.Client.Run("ip route add default via 192.0.2.1")
	l.Client.Run("ip route add default via 2001:db8::1")
	for _, pod := range []*Space{&l.A, &l.B} {
		pod.Run("ip route add default via 10.42.0.1")
		pod.Run("ip route add default via fd00:42::1")
	}
	// A route for cluster IPs, as every node has by default.
	l.Node.Run("ip route add default via 192.0.2.2")
	l.Node.Run("ip route add default via 2001:db8::2")
	for _, s := range []Space{l.Client, l.Node, l.A, l.B} {
		s.settle()
	}
	return l
}

// settle waits until the addresses of a namespace can be used, which the kernel
// lets be only after it has noticed that the link is up.
func (s Space) settle() {
	s.t.Helper()
	changes, done := make(chan netlink.AddrUpdate, 16), make(chan struct{})
	defer close(done)
	if err := netlink.AddrSubscribeAt(s.ns, changes, done); err != nil {
		s.t.Fatal(err)
	}
	at, err := netlink.NewHandleAt(s.ns)
	if err != nil {
		s.t.Fatal(err)
	}
	defer at.Close()
	timeout := time.After(Patience)
	for {
		all, err := at.AddrList(nil, netlink.FAMILY_V6)
		if err != nil {
			s.t.Fatal(err)
		}
		if !slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 }) {
			return
		}
		select {
		case <-changes:
		case <-timeout:
			s.t.Fatalf("addresses in %s cannot be used: %v", s.name, all)
		}
	}
}

func newSpace(t *testing.T, name string) Space {
	t.Helper()
	s := Space{t: t, name: name}
	command(t, "ip netns add "+name)
	t.Cleanup(func() { command(t, "ip netns del "+name) })
	ns, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	s.ns = ns
	s.Run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0") // nobody else has its addresses
	s.Run("ip link set lo up")
	return s
}

// wire connects a namespace to the node, or to a bridge there.
func (l *Lab) wire(s *Space, v4, v6, bridge string) {
	l.T.Helper()
	name := s.name[strings.LastIndex(s.name, "-")+1:]
	command(l.T, fmt.Sprintf("ip -n %s link add name %s type veth peer name eth0 netns %s", l.Node.name, name, s.name))
	if bridge != "" {
		l.Node.Run("ip link set dev " + name + " master " + bridge)
		l.Node.Run("bridge link set dev " + name + " hairpin on")
	}
	l.Node.Run("ip link set dev " + name + " up")
	s.Run("ip link set eth0 up")
	s.Run("ip addr add " + v4 + " dev eth0")
	s.Run("ip addr add " + v6 + " dev eth0 nodad")
}

func command(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// Run runs a program in the namespace, which must succeed.
func (s Space) Run(line string) {
	s.t.Helper()
	command(s.t, "ip netns exec "+s.name+" "+line)
}

// Within runs f in the namespace; sockets and programs made in it belong there.
func (s Space) Within(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(s.ns); err != nil {
			s.t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// Serve answers on a port of TCP and UDP with the name and the address of the
// client.
func (s Space) Serve(name string, port int) {
	s.t.Helper()
	s.Within(func() {
		listener, err := net.Listen("tcp", fmt.Sprint(":", port))
		if err != nil {
			s.t.Error(err)
			return
		}
		s.t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s to %s", name, host(c.RemoteAddr()))
				c.Close()
			}
		}()
		packets, err := net.ListenPacket("udp", fmt.Sprint(":", port))
		if err != nil {
			s.t.Error(err)
			return
		}
		s.t.Cleanup(func() { packets.Close() })
		go func() {
			buf := make([]byte, 100)
			for {
				_, from, err := packets.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = packets.WriteTo(fmt.Appendf(nil, "%s to %s", name, host(from)), from)
			}
		}()
	})
}

func host(a net.Addr) string {
	p := netip.MustParseAddrPort(a.String())
	return p.Addr().Unmap().String()
}

// Patience is how long an answer may take; nothing waits for it to pass but
// what expects none.
const Patience = 20 * time.Second

// Ask connects and returns the answer, or the error in few words.
func (s Space) Ask(network, addr string, wait time.Duration) string {
	s.t.Helper()
	var answer string
	s.Within(func() {
		c, err := net.DialTimeout(network, addr, wait)
		if err != nil {
			answer = Short(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if network == "udp" {
			if _, err := c.Write([]byte("x")); err != nil {
				answer = Short(err)
				return
			}
		}
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err != nil {
			answer = Short(err)
			return
		}
		answer = string(bytes.TrimSpace(buf[:n]))
	})
	return answer
}

// Short is an error of the network in one or two words.
func Short(err error) string {
	text := err.Error()
	for _, s := range []string{"refused", "timeout", "no route", "unreachable"} {
		if strings.Contains(text, s) {
			return s
		}
	}
	return text
}
