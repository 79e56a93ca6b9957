package dns

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

func service(name string, spec v1.ServiceSpec) *v1.Service {
	if spec.ClusterIP != "" && spec.ClusterIPs == nil {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	return &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: spec}
}

func objects() []runtime.Object {
	port := discoveryv1.EndpointPort{Name: ptr.To("http"), Protocol: ptr.To(v1.ProtocolTCP), Port: ptr.To[int32](8080)}
	slice := func(service, name string, family discoveryv1.AddressType, es ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: family, Endpoints: es, Ports: []discoveryv1.EndpointPort{port},
		}
	}
	return []runtime.Object{
		service("web", v1.ServiceSpec{
			ClusterIP: "10.43.0.7", ClusterIPs: []string{"10.43.0.7", "fd00:43::7"},
			Ports: []v1.ServicePort{{Name: "http", Port: 80, Protocol: v1.ProtocolTCP}, {Name: "ask", Port: 53, Protocol: v1.ProtocolUDP}},
		}),
		slice("web", "web-1", discoveryv1.AddressTypeIPv4, discoveryv1.Endpoint{Addresses: []string{"10.42.0.7"}}),
		service("db", v1.ServiceSpec{ClusterIP: v1.ClusterIPNone, Ports: []v1.ServicePort{{Name: "http", Port: 8080, Protocol: v1.ProtocolTCP}}}),
		slice("db", "db-1", discoveryv1.AddressTypeIPv4,
			discoveryv1.Endpoint{Addresses: []string{"10.42.0.2"}, Hostname: ptr.To("db-0")},
			discoveryv1.Endpoint{Addresses: []string{"10.42.0.3"}},
			discoveryv1.Endpoint{Addresses: []string{"10.42.0.4"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)}}),
		slice("db", "db-2", discoveryv1.AddressTypeIPv6, discoveryv1.Endpoint{Addresses: []string{"fd00:42::2"}, Hostname: ptr.To("db-0")}),
		service("none", v1.ServiceSpec{ClusterIP: v1.ClusterIPNone}),
		service("away", v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "web.shop.svc.cluster.local"}),
		service("far", v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "example.com"}),
		service("loop", v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "loop.shop.svc.cluster.local"}),
	}
}

// newServer answers from the objects, and asks upstreams.
func newServer(t *testing.T, upstreams ...string) *Server {
	t.Helper()
	shared := informers.NewSharedInformerFactory(fake.NewClientset(objects()...), 0)
	s, err := New(Config{Informers: shared, Domain: "cluster.local", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if len(upstreams) > 0 {
		corefile(t, s, strings.Replace(DefaultCorefile("cluster.local"), "forward . /etc/resolv.conf", "forward . "+strings.Join(upstreams, " "), 1), time.Now)
	}
	shared.Start(t.Context().Done())
	shared.WaitForCacheSync(t.Context().Done())
	return s
}

// corefile lets a server answer by a Corefile, which must be right.
func corefile(t *testing.T, s *Server, text string, now func() time.Time) {
	t.Helper()
	v, _, err := compile(text, environment{source: s.source, now: now})
	if err != nil {
		t.Fatal(err)
	}
	s.view.Store(v)
}

// told is an answer in short.
func told(m *dns.Msg) string {
	var out []string
	for _, r := range m.Answer {
		f := strings.Fields(r.String())
		out = append(out, strings.Join(f[3:], " "))
	}
	slices.Sort(out)
	if m.Rcode != dns.RcodeSuccess {
		out = append(out, dns.RcodeToString[m.Rcode])
	}
	return strings.Join(out, ", ")
}

func ask(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	return m
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"web.shop.svc.cluster.local.", dns.TypeA, "A 10.43.0.7"},
		{"WEB.Shop.svc.cluster.local.", dns.TypeA, "A 10.43.0.7"},
		{"web.shop.svc.cluster.local.", dns.TypeAAAA, "AAAA fd00:43::7"},
		{"web.shop.svc.cluster.local.", dns.TypeMX, ""},
		{"db.shop.svc.cluster.local.", dns.TypeA, "A 10.42.0.2, A 10.42.0.3"},
		{"db.shop.svc.cluster.local.", dns.TypeAAAA, "AAAA fd00:42::2"},
		{"db-0.db.shop.svc.cluster.local.", dns.TypeA, "A 10.42.0.2"},
		{"db-0.db.shop.svc.cluster.local.", dns.TypeAAAA, "AAAA fd00:42::2"},
		{"10-42-0-3.db.shop.svc.cluster.local.", dns.TypeA, "A 10.42.0.3"},
		{"10-42-0-4.db.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"none.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"no.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"a.b.web.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"_http._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, "SRV 0 100 80 web.shop.svc.cluster.local."},
		{"_http._udp.web.shop.svc.cluster.local.", dns.TypeSRV, "NXDOMAIN"},
		{"_tcp.web.shop.svc.cluster.local.", dns.TypeA, ""},
		{"_ask._udp.web.shop.svc.cluster.local.", dns.TypeA, ""},
		{"_http._tcp.db.shop.svc.cluster.local.", dns.TypeSRV,
			"SRV 0 100 8080 10-42-0-3.db.shop.svc.cluster.local., SRV 0 100 8080 db-0.db.shop.svc.cluster.local., SRV 0 100 8080 db-0.db.shop.svc.cluster.local."},
		{"away.shop.svc.cluster.local.", dns.TypeA, "A 10.43.0.7, CNAME web.shop.svc.cluster.local."},
		{"far.shop.svc.cluster.local.", dns.TypeCNAME, "CNAME example.com."},
		{"far.shop.svc.cluster.local.", dns.TypeA, "CNAME example.com., SERVFAIL"},
		{"1-2-3-4.shop.pod.cluster.local.", dns.TypeA, "A 1.2.3.4"},
		{"fd00--1.shop.pod.cluster.local.", dns.TypeAAAA, "AAAA fd00::1"},
		{"1-2-3-4.empty.pod.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"shop.svc.cluster.local.", dns.TypeA, ""},
		{"empty.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"svc.cluster.local.", dns.TypeA, ""},
		{"cluster.local.", dns.TypeSOA, "SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"},
		{"dns-version.cluster.local.", dns.TypeTXT, `TXT "1.1.0"`},
		{"x.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"7.0.43.10.in-addr.arpa.", dns.TypePTR, "PTR web.shop.svc.cluster.local."},
		{"2.0.42.10.in-addr.arpa.", dns.TypePTR, "PTR db-0.db.shop.svc.cluster.local."},
		{"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.0.0.0.0.d.f.ip6.arpa.", dns.TypePTR, "PTR web.shop.svc.cluster.local."},
		{"1.1.1.1.in-addr.arpa.", dns.TypePTR, "SERVFAIL"},
		{"0.43.10.in-addr.arpa.", dns.TypePTR, "SERVFAIL"},
		{"example.com.", dns.TypeA, "SERVFAIL"},
	} {
		m := s.reply(t.Context(), ask(c.name, c.kind))
		if got := told(m); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, dns.TypeToString[c.kind], got, c.want)
		}
		for _, r := range m.Answer {
			if strings.EqualFold(r.Header().Name, c.name) && r.Header().Name != c.name {
				t.Errorf("%s is answered as %s", c.name, r.Header().Name)
			}
		}
		if strings.HasSuffix(c.name, "cluster.local.") && len(m.Answer) == 0 && len(m.Ns) == 0 {
			t.Errorf("%s %s: a denial without a SOA", c.name, dns.TypeToString[c.kind])
		}
	}
	// Names that lead to each other end.
	if m := s.reply(t.Context(), ask("loop.shop.svc.cluster.local.", dns.TypeA)); len(m.Answer) > maxAliases {
		t.Errorf("a loop is answered with %d records", len(m.Answer))
	}
}

// Others are asked once, by the protocol that their answer fits in, and what
// does not fit into the client's is cut.
func TestForward(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	upstream := listen(t, dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		asked <- q.Question[0].Name + w.LocalAddr().Network()
		for i := range 100 {
			m.Answer = append(m.Answer, address(q.Question[0].Name, netip.AddrFrom4([4]byte{1, 2, 3, byte(i)}), defaultTTL))
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(m)
	}))
	s := newServer(t)
	now := time.Now()
	corefile(t, s, ".:53 {\n forward . "+upstream+"\n cache\n}", func() time.Time { return now })
	mine := listen(t, dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.handle(t.Context(), w, q) }))
	client := dns.Client{}
	in, _, err := client.Exchange(ask("Big.example.", dns.TypeA), mine)
	if err != nil {
		t.Fatal(err)
	}
	if !in.Truncated || len(in.Answer) == 0 || in.Answer[0].Header().Name != "Big.example." {
		t.Errorf("over UDP: truncated %t, %d records", in.Truncated, len(in.Answer))
	}
	client.Net = "tcp"
	if in, _, err = client.Exchange(ask("big.example.", dns.TypeA), mine); err != nil || len(in.Answer) != 100 {
		t.Errorf("over TCP: %v %v", in, err)
	}
	if n := len(asked); n != 2 {
		t.Errorf("the upstream was asked %d times, not once by UDP and once by TCP", n)
	}
	now = now.Add(defaultTTL * time.Second)
	if _, _, err = client.Exchange(ask("big.example.", dns.TypeA), mine); err != nil || len(asked) != 4 {
		t.Errorf("what has expired is not asked for again: %d, %v", len(asked), err)
	}
}

// listen serves DNS on a free port of both protocols.
func listen(t *testing.T, h dns.Handler) string {
	t.Helper()
	for range 10 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err != nil {
			packets.Close() // somebody has this one
			continue
		}
		for _, s := range []*dns.Server{{PacketConn: packets, Handler: h}, {Listener: listener, Handler: h}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go s.ActivateAndServe() //nolint:errcheck // ends with its socket
			<-started
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return packets.LocalAddr().String()
	}
	t.Fatal("no port is free for both protocols")
	return ""
}
