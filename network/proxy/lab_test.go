package proxy

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"sigs.k8s.io/knftables"
)

// lab is a node with two pods on a bridge and a client outside, each in a
// network namespace that the test makes.
//
//	client 192.0.2.2, 2001:db8::2 ── node .1, ::1 ── bridge 10.42.0.1, fd00:42::1
//	                                                 ├─ pod a .2, ::2
//	                                                 └─ pod b .3, ::3
type lab struct {
	t                  *testing.T
	client, node, a, b space
}

// space is a network namespace.
type space struct {
	t    *testing.T
	name string
	ns   netns.NsHandle
}

var labs atomic.Int32

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the tests of the proxy make network namespaces and must run as root: use \"make test\"")
	}
	n := labs.Add(1)
	l := &lab{t: t}
	for name, s := range map[string]*space{"client": &l.client, "node": &l.node, "a": &l.a, "b": &l.b} {
		*s = newSpace(t, fmt.Sprintf("pp%d-%d-%s", os.Getpid(), n, name))
	}
	l.node.run("ip link add br0 type bridge")
	l.node.run("ip link set br0 up")
	l.node.run("ip addr add 10.42.0.1/24 dev br0")
	l.node.run("ip addr add fd00:42::1/64 dev br0 nodad")
	l.node.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
	l.wire(&l.client, "192.0.2.2/24", "2001:db8::2/64", "")
	l.node.run("ip addr add 192.0.2.1/24 dev client")
	l.node.run("ip addr add 2001:db8::1/64 dev client nodad")
	l.wire(&l.a, "10.42.0.2/24", "fd00:42::2/64", "br0")
	l.wire(&l.b, "10.42.0.3/24", "fd00:42::3/64", "br0")
	l.client.run("ip route add default via 192.0.2.1")
	l.client.run("ip route add default via 2001:db8::1")
	for _, pod := range []*space{&l.a, &l.b} {
		pod.run("ip route add default via 10.42.0.1")
		pod.run("ip route add default via fd00:42::1")
	}
	// A route for cluster IPs, as every node has by default.
	l.node.run("ip route add default via 192.0.2.2")
	l.node.run("ip route add default via 2001:db8::2")
	return l
}

func newSpace(t *testing.T, name string) space {
	t.Helper()
	s := space{t: t, name: name}
	command(t, "ip netns add "+name)
	t.Cleanup(func() { command(t, "ip netns del "+name) })
	ns, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	s.ns = ns
	s.run("ip link set lo up")
	return s
}

// wire connects a namespace to the node, or to a bridge there.
func (l *lab) wire(s *space, v4, v6, bridge string) {
	l.t.Helper()
	name := s.name[strings.LastIndex(s.name, "-")+1:]
	command(l.t, fmt.Sprintf("ip -n %s link add name %s type veth peer name eth0 netns %s", l.node.name, name, s.name))
	if bridge != "" {
		l.node.run("ip link set dev " + name + " master " + bridge)
		l.node.run("bridge link set dev " + name + " hairpin on")
	}
	l.node.run("ip link set dev " + name + " up")
	s.run("ip link set eth0 up")
	s.run("ip addr add " + v4 + " dev eth0")
	s.run("ip addr add " + v6 + " dev eth0 nodad")
}

func command(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func (s space) run(line string) {
	s.t.Helper()
	command(s.t, "ip netns exec "+s.name+" "+line)
}

// within runs f in the namespace; sockets and programs made in it belong there.
func (s space) within(f func()) {
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

// table makes a table in the node.
func (l *lab) table(v6 bool, cidrs ...string) *table {
	l.t.Helper()
	family := knftables.IPv4Family
	if v6 {
		family = knftables.IPv6Family
	}
	var out *table
	l.node.within(func() {
		nft, err := knftables.New(family, DefaultTable)
		if err != nil {
			l.t.Error(err)
			return
		}
		var all []netip.Prefix
		for _, c := range cidrs {
			all = append(all, netip.MustParsePrefix(c))
		}
		out = newTable(nft, v6, all)
	})
	if out == nil {
		l.t.FailNow()
	}
	return out
}

func (l *lab) apply(tab *table, d delta) {
	l.t.Helper()
	l.node.within(func() {
		if err := tab.apply(l.t.Context(), d.fronts, d.hairpins); err != nil {
			l.t.Error(err)
		}
	})
	if l.t.Failed() {
		l.t.FailNow()
	}
}

// serve answers on TCP and UDP port 8080 with the name and the address of the
// client.
func (s space) serve(name string) {
	s.t.Helper()
	s.within(func() {
		listener, err := net.Listen("tcp", ":8080")
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
		packets, err := net.ListenPacket("udp", ":8080")
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

// patience is how long an answer may take; nothing waits for it to pass but
// what expects none.
const patience = 20 * time.Second

// ask connects and returns the answer, or the error in few words.
func (s space) ask(network, addr string, wait time.Duration) string {
	s.t.Helper()
	var answer string
	s.within(func() {
		c, err := net.DialTimeout(network, addr, wait)
		if err != nil {
			answer = short(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if network == "udp" {
			if _, err := c.Write([]byte("x")); err != nil {
				answer = short(err)
				return
			}
		}
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err != nil {
			answer = short(err)
			return
		}
		answer = string(bytes.TrimSpace(buf[:n]))
	})
	return answer
}

func short(err error) string {
	text := err.Error()
	for _, s := range []string{"refused", "timeout", "no route", "unreachable"} {
		if strings.Contains(text, s) {
			return s
		}
	}
	return text
}
