package policy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"proa/network/networktest"
)

// lab is a node with two isolated pods, and what the oracle knows of it.
type lab struct {
	*networktest.Lab
	world *world
	state *state
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{Lab: networktest.New(t), world: newWorld()}
	l.Node.Within(func() {
		in, err := placesOf(DefaultTable)
		if err != nil {
			t.Error(err)
			return
		}
		l.state = newState(newTable(in, "br0"))
	})
	if l.state == nil {
		t.FailNow()
	}
	l.world.namespaces["x"] = labels.Set{"ns": "x"}
	l.world.namespaces["y"] = labels.Set{"ns": "y"}
	for n, name := range map[int]types.NamespacedName{2: {Namespace: "x", Name: "a"}, 3: {Namespace: "y", Name: "b"}} {
		l.world.pods[name] = &Pod{
			NamespacedName: name, Local: true, Addrs: addrs(n), Labels: labels.Set{"pod": name.Name},
			Ports: []Port{{"web", "TCP", 8080 + int32(n)%2}, {"name", "UDP", 8080}},
		}
	}
	for name, namespace := range l.world.namespaces {
		l.state.setNamespace(name, namespace, true)
	}
	for name, p := range l.world.pods {
		l.state.setPod(name, p)
	}
	return l
}

// enforce replaces all policies.
func (l *lab) enforce(specs ...string) {
	l.T.Helper()
	for name := range l.world.policies {
		l.state.setPolicy(name, nil)
	}
	clear(l.world.policies)
	for i, spec := range specs {
		np := &networkingv1.NetworkPolicy{}
		if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
			l.T.Fatalf("%s: %v", spec, err)
		}
		np.Namespace, np.Name = "x", fmt.Sprint("p", i)
		name := types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
		l.world.policies[name] = np
		l.state.setPolicy(name, Compile(np))
	}
	l.apply()
}

func (l *lab) apply() {
	l.T.Helper()
	l.Node.Within(func() {
		if err := l.state.table.apply(l.T.Context()); err != nil {
			l.T.Error(err)
		}
	})
	if l.T.Failed() {
		l.T.FailNow()
	}
}

// silence is how long nothing must come back.
const silence = 400 * time.Millisecond

// forget has the node forget all connections. One over UDP has no end, and the
// next one may by chance have the same ports.
func (l *lab) forget() {
	l.T.Helper()
	l.Node.Within(func() {
		if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
			l.T.Error(err)
		}
	})
}

// matrix sends real packets between all, and holds who is answered against the
// oracle.
func (l *lab) matrix(policies string) {
	l.T.Helper()
	l.forget()
	type end struct {
		name  string
		space networktest.Space
		addrs []string
	}
	ends := []end{
		{"a", l.A, []string{"10.42.0.2", "fd00:42::2"}}, {"b", l.B, []string{"10.42.0.3", "fd00:42::3"}},
		{"client", l.Client, []string{"192.0.2.2", "2001:db8::2"}}, {"node", l.Node, []string{"10.42.0.1", "fd00:42::1"}},
	}
	var all sync.WaitGroup
	for _, from := range ends {
		for _, to := range ends {
			if from.name == "client" && to.name == "node" {
				continue // no pod is concerned
			}
			for i, addr := range to.addrs {
				for _, network := range []string{"tcp", "udp"} {
					for _, port := range []int{8080, 8081} {
						c := packet{netip.MustParseAddr(from.addrs[i]), netip.MustParseAddr(addr), network, port}
						// A node is never kept from its pods.
						want := from.name == "node" || l.world.allows(c)
						wait := silence
						if want {
							wait = networktest.Patience
						}
						all.Go(func() {
							got := from.space.Ask(network, net.JoinHostPort(addr, fmt.Sprint(port)), wait)
							if answered := strings.HasPrefix(got, to.name+" to "); answered != want {
								l.T.Errorf("%s to %s, %s: %q, want an answer: %v, under\n%s", from.name, to.name, c, got, want, policies)
							}
						})
					}
				}
			}
		}
	}
	all.Wait()
}

func (l *lab) serve() {
	for _, port := range []int{8080, 8081} {
		l.A.Serve("a", port)
		l.B.Serve("b", port)
		l.Client.Serve("client", port)
		l.Node.Serve("node", port)
	}
}

// TestTraffic sends real packets through real rules, under policies of every
// shape.
func TestTraffic(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serve()
	for _, policies := range [][]string{
		nil,
		{`{podSelector: {}, policyTypes: [Ingress]}`},
		{`{podSelector: {}, policyTypes: [Egress]}`},
		{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`},
		{`{podSelector: {matchLabels: {pod: other}}, policyTypes: [Ingress]}`},
		{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: b}}}]}]}`},
		{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}`},
		{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP, port: 8080}]}]}`},
		{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP, port: web}, {protocol: UDP, port: name}]}]}`},
		{`{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{protocol: TCP, port: web}]}]}`},
		{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{protocol: UDP, port: 8000, endPort: 8080}]}]}`},
		{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/24]}}]}]}`},
		{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0"}}]}], egress: [{to: [{ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8::4/126"]}}]}]}`},
		{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.2/32}}]}]}`, `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.42.0.1/32}}], ports: [{protocol: TCP, port: 8081}]}]}`},
		{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: SCTP}, {protocol: UDP}, {protocol: TCP, port: 1, endPort: 65535}]}]}`},
		nil,
	} {
		l.enforce(policies...)
		l.matrix(strings.Join(policies, "\n"))
	}
	l.bare("without policies")
}

// bare fails where there is a table.
func (l *lab) bare(when string) {
	l.T.Helper()
	l.Node.Within(func() {
		for at := range l.state.table.places {
			if taken, err := l.state.table.places.taken(l.T.Context(), at); taken || err != nil {
				l.T.Errorf("%s the table is there: %v %v", when, taken, err)
			}
		}
	})
}

// Cleanup removes what a process has left that ended halfway.
func TestCleanup(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.enforce(`{podSelector: {}}`)
	l.Node.Within(func() {
		if err := l.state.table.places.run(t.Context(), 1, l.state.table.whole); err != nil {
			t.Error(err)
		}
		if err := Cleanup(t.Context(), ""); err != nil {
			t.Error(err)
		}
	})
	l.bare("after Cleanup")
}

// A connection that was made when it was allowed goes on, and no packet slips
// through while the table is made anew, as it is when the node agent restarts, and
// while policies are replaced.
func TestTrafficGoesOn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.enforce(`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP, port: 8080}]}]}`)
	echo := listen(t, l.A, "10.42.0.2:8080")
	c := dial(t, l.Client, "10.42.0.2:8080")
	say(t, c, "before")
	var slipped atomic.Int32
	l.A.Within(func() {
		p, err := net.ListenPacket("udp", ":9000")
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { p.Close() })
		go func() {
			for buf := make([]byte, 10); ; slipped.Add(1) {
				if _, _, err := p.ReadFrom(buf); err != nil {
					return
				}
			}
		}()
	})
	l.enforce(`{podSelector: {}, policyTypes: [Ingress]}`)
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		l.Client.Within(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// From another port each time: each is the first of its connection.
				if p, err := net.Dial("udp", "10.42.0.2:9000"); err == nil {
					_, _ = p.Write([]byte("x"))
					p.Close()
				}
			}
		})
	})
	for port := range 10 {
		l.state.table.stale = true
		l.apply()
		say(t, c, "while the rules are made anew")
		l.enforce(fmt.Sprintf(`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: UDP, port: %d}]}]}`, port+1))
		say(t, c, "while another policy comes")
	}
	close(stop)
	sender.Wait()
	if n := slipped.Load(); n > 0 {
		t.Errorf("%d packets slipped through", n)
	}
	if got := l.Client.Ask("tcp", "10.42.0.2:8080", silence); got != "timeout" {
		t.Errorf("a new connection: %q", got)
	}
	if echo.Load() != 1 {
		t.Errorf("%d connections were accepted", echo.Load())
	}
}

func listen(t *testing.T, s networktest.Space, addr string) *atomic.Int32 {
	t.Helper()
	var count atomic.Int32
	s.Within(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				count.Add(1)
				go func() {
					defer c.Close()
					for buf := make([]byte, 100); ; {
						n, err := c.Read(buf)
						if err != nil {
							return
						}
						_, _ = c.Write(buf[:n])
					}
				}()
			}
		}()
	})
	return &count
}

func dial(t *testing.T, s networktest.Space, addr string) net.Conn {
	t.Helper()
	var c net.Conn
	s.Within(func() {
		var err error
		if c, err = net.DialTimeout("tcp", addr, networktest.Patience); err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, word string) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(networktest.Patience))
	buf := make([]byte, 100)
	if _, err := c.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != word {
		t.Fatalf("%q came back: %v", buf[:n], err)
	}
}

// Pods have link-local addresses that no policy can name, and a pod reaches
// itself by a service though nobody may reach it.
func TestTrafficPastAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serve()
	l.Node.Run(`nft add table ip lab; add chain ip lab in { type nat hook prerouting priority -100; }; add rule ip lab in ip daddr 10.43.0.1 tcp dport 80 dnat to 10.42.0.2:8080; add chain ip lab out { type nat hook postrouting priority 100; }; add rule ip lab out ip saddr 10.42.0.2 ip daddr 10.42.0.2 masquerade`)
	link := func(s networktest.Space) string {
		var out string
		s.Within(func() {
			i, err := net.InterfaceByName("eth0")
			if err != nil {
				t.Error(err)
				return
			}
			all, err := i.Addrs()
			if err != nil {
				t.Error(err)
			}
			at := slices.IndexFunc(all, func(a net.Addr) bool { return strings.HasPrefix(a.String(), "fe80:") })
			if at < 0 {
				t.Errorf("no link-local address among %v", all)
				return
			}
			out, _, _ = strings.Cut(all[at].String(), "/")
		})
		return net.JoinHostPort(out+"%eth0", "8080")
	}
	if got := l.B.Ask("tcp", link(l.A), networktest.Patience); !strings.HasPrefix(got, "a to") {
		t.Fatalf("without policies, by the link: %q", got)
	}
	l.enforce(`{podSelector: {}, policyTypes: [Ingress, Egress]}`)
	if got := l.B.Ask("tcp", link(l.A), silence); got != "timeout" {
		t.Errorf("into an isolated pod by the link: %q", got)
	}
	if got := l.A.Ask("tcp", link(l.B), silence); got != "timeout" {
		t.Errorf("out of an isolated pod by the link: %q", got)
	}
	if got := l.A.Ask("tcp", "10.43.0.1:80", networktest.Patience); got != "a to 10.42.0.1" {
		t.Errorf("to itself by a service: %q", got)
	}
	if got := l.B.Ask("tcp", "10.43.0.1:80", silence); got != "timeout" {
		t.Errorf("to an isolated pod by a service: %q", got)
	}
}
