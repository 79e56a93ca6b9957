package proxy

import (
	"net"
	"net/netip"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/network/networktest"
)

// TestTraffic sends real packets through real rules.
func TestTraffic(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.A.Serve("a", 8080)
	l.B.Serve("b", 8080)
	tab := l.table(false, "10.42.0.0/16")
	udp := func(f *Front) *Front { f.Protocol = v1.ProtocolUDP; return f }
	local := func(f *Front, here ...string) *Front { f.Local = ports(here...); return f }
	limited := front("198.51.100.9", 80, External, "10.42.0.2:8080")
	limited.Sources = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	silent := front("10.43.0.8", 80, Internal)
	silent.Silent = true
	d := newDelta()
	for _, f := range []*Front{
		front("10.43.0.1", 80, Internal, "10.42.0.2:8080"),
		udp(front("10.43.0.1", 80, Internal, "10.42.0.3:8080")),
		front("10.43.0.2", 80, Internal), silent,
		udp(front("10.43.0.2", 80, Internal)),
		front("", 30080, External, "10.42.0.3:8080"),
		local(front("", 30081, ExternalLocal, "10.42.0.2:8080", "10.42.0.3:8080"), "10.42.0.2:8080"),
		local(front("", 30082, ExternalLocal, "10.42.0.2:8080")),
		front("", 30083, External),
		front("198.51.100.1", 80, External, "10.42.0.2:8080"),
		front("198.51.100.2", 80, External), limited,
		local(front("198.51.100.3", 80, ExternalLocal, "10.42.0.2:8080"), "10.42.0.2:8080"),
	} {
		d.fronts[f.Key] = f
	}
	d.hairpins[netip.MustParseAddr("10.42.0.2")] = 1
	l.apply(tab, d)
	for _, c := range []struct {
		name          string
		from          networktest.Space
		network, addr string
		want          string
	}{
		{"pod to another pod of the bridge", l.B, "tcp", "10.43.0.1:80", "a to 10.42.0.3"},
		{"pod to itself", l.A, "tcp", "10.43.0.1:80", "a to 10.42.0.1"},
		{"UDP", l.A, "udp", "10.43.0.1:80", "b to 10.42.0.2"},
		{"the node to a cluster IP", l.Node, "tcp", "10.43.0.1:80", "a to 10.42.0.1"},
		{"a machine outside to a cluster IP", l.Client, "tcp", "10.43.0.1:80", "a to 10.42.0.1"},
		{"no endpoint", l.A, "tcp", "10.43.0.2:80", "refused"},
		{"no endpoint, from the node", l.Node, "tcp", "10.43.0.2:80", "refused"},
		{"no endpoint, UDP", l.A, "udp", "10.43.0.2:80", "refused"},
		{"no such port", l.A, "tcp", "10.43.0.1:81", "refused"},
		{"no endpoint of this node", l.A, "tcp", "10.43.0.8:80", "timeout"},
		{"node port from outside", l.Client, "tcp", "192.0.2.1:30080", "b to 10.42.0.1"},
		{"node port from a pod", l.A, "tcp", "192.0.2.1:30080", "b to 10.42.0.1"},
		{"node port from a pod, by the bridge", l.A, "tcp", "10.42.0.1:30080", "b to 10.42.0.1"},
		{"node port from the node", l.Node, "tcp", "192.0.2.1:30080", "b to 10.42.0.1"},
		{"loopback has no node ports", l.Node, "tcp", "127.0.0.1:30080", "refused"},
		{"node port keeps the client's address", l.Client, "tcp", "192.0.2.1:30081", "a to 192.0.2.2"},
		{"node port without an endpoint here", l.Client, "tcp", "192.0.2.1:30082", "timeout"},
		{"node port without an endpoint here, from a pod", l.B, "tcp", "192.0.2.1:30082", "a to 10.42.0.3"},
		{"node port without an endpoint here, from the node", l.Node, "tcp", "192.0.2.1:30082", "a to 10.42.0.1"},
		{"node port without an endpoint", l.Client, "tcp", "192.0.2.1:30083", "refused"},
		{"external address", l.Client, "tcp", "198.51.100.1:80", "a to 10.42.0.1"},
		{"external address without an endpoint", l.Client, "tcp", "198.51.100.2:80", "refused"},
		{"external address for others", l.Client, "tcp", "198.51.100.9:80", "timeout"},
		{"external address keeps the client's address", l.Client, "tcp", "198.51.100.3:80", "a to 192.0.2.2"},
	} {
		wait := networktest.Patience
		if c.want == "timeout" {
			wait = 300 * time.Millisecond
		}
		if got := c.from.Ask(c.network, c.addr, wait); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A client that goes on sending from one UDP port reaches the endpoints that
// there are now, and a client with affinity stays with its own.
func TestTrafficMoves(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.A.Serve("a", 8080)
	l.B.Serve("b", 8080)
	tab := l.table(false, "10.42.0.0/16")
	put := func(f *Front) {
		t.Helper()
		d := newDelta()
		d.fronts[f.Key] = f
		l.apply(tab, d)
		l.Node.Within(func() {
			if err := forget(kernelFlows{}, d.fronts, false); err != nil {
				t.Error(err)
			}
		})
	}
	udp := func(targets ...string) *Front {
		f := front("10.43.0.1", 80, Internal, targets...)
		f.Protocol = v1.ProtocolUDP
		return f
	}
	put(udp("10.42.0.2:8080"))
	var c net.Conn
	l.Client.Within(func() {
		var err error
		if c, err = net.Dial("udp", "10.43.0.1:80"); err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	defer c.Close()
	ask := func() string {
		_ = c.SetDeadline(time.Now().Add(networktest.Patience))
		if _, err := c.Write([]byte("x")); err != nil {
			return networktest.Short(err)
		}
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err != nil {
			return networktest.Short(err)
		}
		return string(buf[:1:n])
	}
	for _, want := range []string{"a", "b", "a"} {
		put(udp(map[string]string{"a": "10.42.0.2:8080", "b": "10.42.0.3:8080"}[want]))
		if got := ask(); got != want {
			t.Errorf("after the move to %s, %q answers", want, got)
		}
	}
	sticky := front("10.43.0.2", 80, Internal, "10.42.0.2:8080", "10.42.0.3:8080")
	sticky.Affinity = time.Hour
	put(sticky)
	first := l.Client.Ask("tcp", "10.43.0.2:80", networktest.Patience)
	for range 12 {
		if got := l.Client.Ask("tcp", "10.43.0.2:80", networktest.Patience); got != first {
			t.Errorf("a client moved from %q to %q", first, got)
		}
	}
}

// The other family has its own table, and the same rules.
func TestTrafficV6(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.A.Serve("a", 8080)
	tab := l.table(true, "fd00:42::/56")
	d := newDelta()
	for _, f := range []*Front{
		front("fd00:43::1", 80, Internal, "[fd00:42::2]:8080"), front("fd00:43::2", 80, Internal),
		front("", 30080, External, "[fd00:42::2]:8080"),
	} {
		f.V6 = true
		d.fronts[f.Key] = f
	}
	l.apply(tab, d)
	for _, c := range []struct {
		from       networktest.Space
		addr, want string
	}{
		{l.B, "[fd00:43::1]:80", "a to fd00:42::3"},
		{l.B, "[fd00:43::2]:80", "refused"},
		{l.Client, "[2001:db8::1]:30080", "a to fd00:42::1"},
		{l.Node, "[::1]:30080", "refused"},
	} {
		if got := c.from.Ask("tcp", c.addr, networktest.Patience); got != c.want {
			t.Errorf("%s: %q, want %q", c.addr, got, c.want)
		}
	}
}
