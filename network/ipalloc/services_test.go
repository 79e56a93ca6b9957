package ipalloc

import (
	"context"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/cache"
	"proa/cache/codec"
	"proa/resource"
	"proa/resource/core"
	"proa/resource/networking"
	"proa/store"
	"proa/store/memory"
)

// server is one API server's view of a store: its cache and its allocator.
type server struct {
	*Services
	hub      *cache.Hub
	services *resource.Definition
	now      time.Time
}

func newServer(t *testing.T, s store.Store, ranges string, ports PortRange) *server {
	t.Helper()
	hub := cache.NewHub(s, codec.Storage{}, cache.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = hub.Run(ctx) // the error of ctx
	}()
	t.Cleanup(func() { cancel(); <-done })
	v := &server{hub: hub, services: core.Service(), now: time.Unix(1_800_000_000, 0)}
	var prefixes []netip.Prefix
	for r := range strings.SplitSeq(ranges, ",") {
		prefixes = append(prefixes, netip.MustParsePrefix(r))
	}
	a, err := New(hub, v.services, networking.ServiceCIDR(), networking.IPAddress(), Config{
		Addresses: prefixes, NodePorts: ports,
		Random: func(uint64) uint64 { return 0 }, Now: func() time.Time { return v.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Services = a
	return v
}

func newStore(t *testing.T) store.Store {
	s := memory.New(memory.Options{})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func service(name string, f func(*corev1.ServiceSpec)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	s.Spec.Selector = map[string]string{"a": "b"}
	if f != nil {
		f(&s.Spec)
	}
	d := core.Service()
	d.Default(s)
	d.PrepareCreate(&resource.Request{}, s)
	return s
}

// create does what the request path does with a new service.
func (v *server) create(t *testing.T, s *corev1.Service) (*cache.Entry, error) {
	t.Helper()
	settle, err := v.Allocate(t.Context(), s, nil, false)
	if err != nil {
		return nil, err
	}
	e, err := v.hub.Cache(v.services).Create(t.Context(), s, 0)
	settle(t.Context(), err == nil)
	return e, err
}

func (v *server) update(t *testing.T, e *cache.Entry, f func(*corev1.Service)) *cache.Entry {
	t.Helper()
	old := e.Object.(*corev1.Service)
	s := old.DeepCopy()
	f(s)
	v.services.Default(s)
	v.services.PrepareUpdate(&resource.Request{}, s, old)
	settle, err := v.Allocate(t.Context(), s, old, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err = v.hub.Cache(v.services).Update(t.Context(), e, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	settle(t.Context(), true)
	return e
}

func (v *server) claims(t *testing.T) []string {
	t.Helper()
	l, err := v.addresses.cached.List(t.Context(), cache.ListRequest{Match: cache.Latest})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range l.Entries {
		out = append(out, e.Name)
	}
	return out
}

func (v *server) takenPorts(t *testing.T) []int32 {
	t.Helper()
	var out []int32
	err := v.ports.change(t.Context(), func(taken *big.Int) error {
		for p := v.ports.First; p <= v.ports.Last; p++ {
			if taken.Bit(int(p-v.ports.First)) == 1 {
				out = append(out, p)
			}
		}
		return errDryRun
	})
	if err != errDryRun {
		t.Fatal(err)
	}
	return out
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func spec(e *cache.Entry) corev1.ServiceSpec { return e.Object.(*corev1.Service).Spec }

func TestLifeOfAService(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/24", PortRange{30000, 30009})
	e := must(v.create(t, service("a", nil)))(t)
	// The upper band of 254 addresses begins after the first 16.
	if s := spec(e); s.ClusterIP != "10.43.0.17" || !slices.Equal(s.ClusterIPs, []string{"10.43.0.17"}) || *s.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack || s.IPFamilies[0] != corev1.IPv4Protocol {
		t.Errorf("a new service got %+v", s)
	}
	e = v.update(t, e, func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort })
	if s := spec(e); s.ClusterIP != "10.43.0.17" || s.Ports[0].NodePort != 30000 {
		t.Errorf("a service of nodes got %+v", s)
	}
	e = v.update(t, e, func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP })
	if got := v.takenPorts(t); len(got) != 0 || spec(e).Ports[0].NodePort != 0 {
		t.Errorf("ports %v are taken after the type changed back", got)
	}
	e = v.update(t, e, func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	})
	if got := v.claims(t); len(got) != 0 || spec(e).ClusterIP != "" {
		t.Errorf("addresses %v are taken by an external name", got)
	}
	e = v.update(t, e, func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName, s.Spec.ClusterIP = corev1.ServiceTypeClusterIP, "", "10.43.0.10"
	})
	if got := v.claims(t); !slices.Equal(got, []string{"10.43.0.10"}) {
		t.Errorf("addresses %v are taken, not the one asked for", got)
	}
	v.Release(t.Context(), e.Object)
	if got := v.claims(t); len(got) != 0 {
		t.Errorf("addresses %v are taken after the end", got)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/28", PortRange{30000, 30001})
	must(v.create(t, service("a", func(s *corev1.ServiceSpec) {
		s.ClusterIP, s.Type, s.Ports[0].NodePort = "10.43.0.1", corev1.ServiceTypeNodePort, 30001
	})))(t)
	for name, c := range map[string]struct {
		f    func(*corev1.ServiceSpec)
		want string
	}{
		"taken address": {func(s *corev1.ServiceSpec) { s.ClusterIP = "10.43.0.1" },
			`Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.1"]: failed to allocate IP 10.43.0.1: provided IP is already allocated`},
		"foreign address": {func(s *corev1.ServiceSpec) { s.ClusterIP = "10.44.0.1" },
			`Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.44.0.1"]: failed to allocate IP 10.44.0.1: the provided network does not match the current range`},
		"broadcast": {func(s *corev1.ServiceSpec) { s.ClusterIP = "10.43.0.15" },
			`Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.15"]: failed to allocate IP 10.43.0.15: the provided network does not match the current range`},
		"other family": {func(s *corev1.ServiceSpec) { s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} },
			`Service "b" is invalid: spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster`},
		"two families": {func(s *corev1.ServiceSpec) {
			p := corev1.IPFamilyPolicyRequireDualStack
			s.IPFamilyPolicy = &p
		}, `Service "b" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services`},
		"taken port": {func(s *corev1.ServiceSpec) { s.Type, s.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30001 },
			`Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated`},
		"foreign port": {func(s *corev1.ServiceSpec) { s.Type, s.Ports[0].NodePort = corev1.ServiceTypeNodePort, 80 },
			`Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-30001`},
		"no ports left": {func(s *corev1.ServiceSpec) {
			s.Type = corev1.ServiceTypeNodePort
			s.Ports = append(s.Ports, corev1.ServicePort{Name: "x", Port: 81})
		}, `Internal error occurred: failed to allocate a nodePort: range is full`},
	} {
		if _, err := v.Allocate(t.Context(), service("b", c.f), nil, false); err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n\t%v\nwant\n\t%s", name, err, c.want)
		}
	}
	if ips, ports := v.claims(t), v.takenPorts(t); len(ips) != 1 || len(ports) != 1 {
		t.Errorf("after refusals, addresses %v and ports %v are taken", ips, ports)
	}
}

func TestDryRunTakesNothing(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/24", PortRange{})
	s := service("a", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort })
	settle, err := v.Allocate(t.Context(), s, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	settle(t.Context(), true)
	if s.Spec.ClusterIP == "" || s.Spec.Ports[0].NodePort == 0 {
		t.Errorf("a dry run shows %+v", s.Spec)
	}
	if ips, ports := v.claims(t), v.takenPorts(t); len(ips)+len(ports) != 0 {
		t.Errorf("after a dry run, addresses %v and ports %v are taken", ips, ports)
	}
}

func TestDualStack(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/16,fd00::/112", PortRange{})
	prefer, single := corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicySingleStack
	e := must(v.create(t, service("a", func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = &prefer })))(t)
	if s := spec(e); !slices.Equal(s.ClusterIPs, []string{"10.43.1.1", "fd00::101"}) || len(s.IPFamilies) != 2 {
		t.Errorf("a service of two families got %+v", s)
	}
	e = v.update(t, e, func(s *corev1.Service) { s.Spec.IPFamilyPolicy = &single })
	if s := spec(e); !slices.Equal(s.ClusterIPs, []string{"10.43.1.1"}) || len(v.claims(t)) != 1 {
		t.Errorf("after giving up one family it has %v, and %v are taken", s.ClusterIPs, v.claims(t))
	}
	e = must(v.create(t, service("b", func(s *corev1.ServiceSpec) { s.ClusterIP, s.Selector = corev1.ClusterIPNone, nil })))(t)
	if s := spec(e); *s.IPFamilyPolicy != corev1.IPFamilyPolicyRequireDualStack || len(s.IPFamilies) != 2 || s.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("a headless service without selector got %+v", s)
	}
	// An update that says no policy keeps the one that there was.
	e = must(v.create(t, service("c", func(s *corev1.ServiceSpec) {
		s.ClusterIP, s.IPFamilyPolicy, s.Selector = corev1.ClusterIPNone, &single, map[string]string{"a": "b"}
	})))(t)
	e = v.update(t, e, func(s *corev1.Service) { s.Spec.IPFamilyPolicy, s.Spec.Selector = nil, nil })
	if s := spec(e); *s.IPFamilyPolicy != single || len(s.IPFamilies) != 1 {
		t.Errorf("an update without policy made it %+v", s)
	}
}

func TestSeveralServersNeverGiveOneThingTwice(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	const each = 5
	servers := []*server{
		newServer(t, st, "10.43.0.0/27", PortRange{30000, 30014}),
		newServer(t, st, "10.43.0.0/27", PortRange{30000, 30014}),
		newServer(t, st, "10.43.0.0/27", PortRange{30000, 30014}),
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	ips, ports := map[string]bool{}, map[int32]bool{}
	for i, v := range servers {
		for j := range each {
			wg.Go(func() {
				e, err := v.create(t, service(string(rune('a'+i))+string(rune('a'+j)), func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort }))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				s := spec(e)
				if ips[s.ClusterIP] || ports[s.Ports[0].NodePort] {
					t.Errorf("%s or %d was given twice", s.ClusterIP, s.Ports[0].NodePort)
				}
				ips[s.ClusterIP], ports[s.Ports[0].NodePort] = true, true
			})
		}
	}
	wg.Wait()
}

func TestRepair(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/24", PortRange{30000, 30009})
	// A service whose claims are missing, claims without a service, and one
	// that is too young to judge.
	lost := service("lost", func(s *corev1.ServiceSpec) {
		s.Type, s.ClusterIP, s.ClusterIPs, s.IPFamilies = corev1.ServiceTypeNodePort, "10.43.0.7", []string{"10.43.0.7"}, []corev1.IPFamily{corev1.IPv4Protocol}
		s.Ports[0].NodePort = 30007
	})
	must(v.hub.Cache(v.services).Create(t.Context(), lost, 0))(t)
	orphan := service("orphan", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort })
	if _, err := v.Allocate(t.Context(), orphan, nil, false); err != nil {
		t.Fatal(err)
	}
	v.now = v.now.Add(2 * claimGrace)
	if _, err := v.Allocate(t.Context(), service("young", nil), nil, false); err != nil {
		t.Fatal(err)
	}
	if err := v.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := v.claims(t); !slices.Equal(got, []string{"10.43.0.18", "10.43.0.7"}) {
		t.Errorf("after a repair, %v are taken", got)
	}
	if got := v.takenPorts(t); !slices.Equal(got, []int32{30000, 30007}) {
		t.Errorf("after one repair, ports %v are taken", got)
	}
	if err := v.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := v.takenPorts(t); !slices.Equal(got, []int32{30007}) {
		t.Errorf("after two repairs, ports %v are taken", got)
	}
	e := must(v.addresses.cached.Fresh(t.Context(), "", "10.43.0.7"))(t)
	if ip := e.Object.(*networkingv1.IPAddress); !belongsTo(ip, "default", "lost") || len(networking.IPAddress().Validate(ip)) != 0 {
		t.Errorf("the claim made in the repair is %+v", ip)
	}
}

func TestPortsShared(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/24", PortRange{30000, 30009})
	e := must(v.create(t, service("dns", func(s *corev1.ServiceSpec) {
		s.Type = corev1.ServiceTypeLoadBalancer
		s.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		s.Ports = []corev1.ServicePort{{Name: "a", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "b", Port: 53, Protocol: corev1.ProtocolTCP}, {Name: "c", Port: 54, Protocol: corev1.ProtocolTCP}}
	})))(t)
	s := spec(e)
	if s.Ports[0].NodePort != 30000 || s.Ports[1].NodePort != 30000 || s.Ports[2].NodePort != 30001 || s.HealthCheckNodePort != 30002 {
		t.Errorf("ports are %+v and the health port %d", s.Ports, s.HealthCheckNodePort)
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix       string
		size, offset uint64
		first, last  string
	}{
		{"10.43.0.0/16", 65534, 256, "10.43.0.1", "10.43.255.254"},
		{"10.43.0.0/24", 254, 16, "10.43.0.1", "10.43.0.254"},
		{"10.43.0.0/28", 14, 0, "10.43.0.1", "10.43.0.14"},
		{"fd00::/120", 255, 16, "fd00::1", "fd00::ff"},
	} {
		r := newAddressRange(netip.MustParsePrefix(c.prefix))
		if r.size != c.size || ipOffset(r.size) != c.offset || r.at(0).String() != c.first || r.at(r.size-1).String() != c.last {
			t.Errorf("%s: %d addresses from %s to %s, upper band from %d", c.prefix, r.size, r.at(0), r.at(r.size-1), ipOffset(r.size))
		}
		if r.contains(r.prefix.Addr()) || !r.contains(r.at(r.size-1)) {
			t.Errorf("%s: wrong about its ends", c.prefix)
		}
	}
	if got := portOffset(2768); got != 86 {
		t.Errorf("the upper band of node ports begins at %d", got)
	}
	seen := map[uint64]bool{}
	for i := range candidates(10, 4, func(n uint64) uint64 { return n / 2 }) {
		seen[i] = true
	}
	if len(seen) != 10 {
		t.Errorf("candidates were %v", seen)
	}
}
