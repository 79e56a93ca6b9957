package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

// Whatever policies, pods and namespaces come and go, and whichever transactions
// fail, the rules in the kernel decide every connection as the API says, and are
// those that a fresh start would have made.
func TestRulesMeanPolicies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, k, refused := newWorld(), newKernel(), errors.New("refused")
		s := newState(newTable(k.places(), "br0"))
		for range rapid.IntRange(1, 6).Draw(t, "applications") {
			for range rapid.IntRange(1, 8).Draw(t, "changes") {
				w.mutate(t, s)
			}
			k.failOnce(refused, rapid.IntRange(0, 4).Draw(t, "before the failure"), rapid.Bool().Draw(t, "late"))
			err := s.table.apply(context.Background())
			if errors.Is(err, refused) {
				err = s.table.apply(context.Background())
			}
			if err != nil {
				t.Fatal(err)
			}
			w.check(t, k)
			w.compare(t, k)
		}
	})
}

// check holds the verdict on every connection against the oracle's.
func (w *world) check(t *rapid.T, k *kernel) {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8::9")}
	for _, p := range w.pods {
		addrs = append(addrs, p.Addrs...)
	}
	for _, from := range addrs {
		for _, to := range addrs {
			if from.Is4() != to.Is4() {
				continue
			}
			for _, c := range []struct {
				protocol string
				port     int
			}{{"tcp", 80}, {"tcp", 81}, {"tcp", 90}, {"udp", 80}, {"udp", 53}, {"sctp", 80}, {"icmp", 0}} {
				p := packet{from, to, c.protocol, c.port}
				if got, want := k.passes("forward", p), w.allows(p); got != want {
					t.Fatalf("%s: the rules say %v, the policies %v\n%s\n%s", p, got, want, k.dump(), w.dump())
				}
			}
		}
	}
}

// compare holds the table against one that is made at once.
func (w *world) compare(t *rapid.T, k *kernel) {
	cold := newKernel()
	s := newState(newTable(cold.places(), "br0"))
	for name, p := range w.pods {
		s.setPod(name, p)
	}
	for name, np := range w.policies {
		s.setPolicy(name, Compile(np))
	}
	for name, l := range w.namespaces {
		s.setNamespace(name, l, true)
	}
	if err := s.table.apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := k.lines(), cold.lines(); !slices.Equal(got, want) {
		t.Fatalf("changed:\n%s\nmade anew:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (w *world) dump() string {
	var out strings.Builder
	for _, p := range w.pods {
		fmt.Fprintf(&out, "%+v\n", *p)
	}
	for _, np := range w.policies {
		fmt.Fprintf(&out, "%s %s\n", np.Namespace, np.Spec.String())
	}
	fmt.Fprintln(&out, w.namespaces)
	return out.String()
}

// mutate changes one thing in the world, and tells the state.
func (w *world) mutate(t *rapid.T, s *state) {
	namespace := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "namespace")
	gone := rapid.IntRange(0, 3).Draw(t, "gone") == 0
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		l := labels.Set{"ns": namespace, "team": rapid.SampledFrom([]string{"red", "blue"}).Draw(t, "team")}
		if w.namespaces[namespace] = l; gone {
			delete(w.namespaces, namespace)
		}
		s.setNamespace(namespace, l, !gone)
	case 1:
		name := types.NamespacedName{Namespace: namespace, Name: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "policy")}
		if gone {
			delete(w.policies, name)
			s.setPolicy(name, nil)
			return
		}
		np := randomPolicy(t, name)
		w.policies[name] = np
		s.setPolicy(name, Compile(np))
	default:
		name := types.NamespacedName{Namespace: namespace, Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "pod")}
		if gone {
			delete(w.pods, name)
			s.setPod(name, nil)
			return
		}
		p := w.randomPod(t, name)
		w.pods[name] = p
		s.setPod(name, p)
	}
}

// randomPod has addresses that no other pod has at the time.
func (w *world) randomPod(t *rapid.T, name types.NamespacedName) *Pod {
	p := &Pod{
		NamespacedName: name, Local: rapid.Bool().Draw(t, "local"),
		Labels: labels.Set{"pod": name.Name, "tier": rapid.SampledFrom([]string{"front", "back"}).Draw(t, "tier")},
	}
	var free []int
	for n := 1; n <= 12; n++ {
		if o := w.owner(addrs(n)[0]); o == nil || o.NamespacedName == name {
			free = append(free, n)
		}
	}
	p.Addrs = addrs(rapid.SampledFrom(free).Draw(t, "address"))
	for _, port := range []Port{{"web", v1.ProtocolTCP, 80}, {"web", v1.ProtocolTCP, 81}, {"web", v1.ProtocolUDP, 80}, {"dns", v1.ProtocolUDP, 53}} {
		if rapid.Bool().Draw(t, "port") {
			p.Ports = append(p.Ports, port)
		}
	}
	return p
}

func addrs(n int) []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{10, 42, 0, byte(n)}), netip.MustParseAddr(fmt.Sprintf("fd00:42::%x", n))}
}

func randomPolicy(t *rapid.T, name types.NamespacedName) *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: *randomSelector(t, map[string][]string{"pod": {"a", "b"}, "tier": {"front"}})},
	}
	if rapid.Bool().Draw(t, "ingress") {
		np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: randomPeers(t), Ports: randomPorts(t)})
		}
	}
	if len(np.Spec.PolicyTypes) == 0 || rapid.Bool().Draw(t, "egress") {
		np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: randomPeers(t), Ports: randomPorts(t)})
		}
	}
	return np
}

func randomSelector(t *rapid.T, values map[string][]string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch rapid.IntRange(0, 5).Draw(t, "requirement") {
		case 0:
			s.MatchLabels = map[string]string{key: values[key][0]}
		case 1:
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values[key]})
		case 2:
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: values[key][:1]})
		}
	}
	return s
}

func randomPeers(t *rapid.T) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for range rapid.IntRange(0, 3).Draw(t, "peers") {
		var p networkingv1.NetworkPolicyPeer
		pods, namespaces := randomSelector(t, map[string][]string{"pod": {"a", "c"}, "tier": {"back"}}), randomSelector(t, map[string][]string{"ns": {"y", "z"}, "team": {"red"}})
		switch rapid.IntRange(0, 3).Draw(t, "peer") {
		case 0:
			p.PodSelector = pods
		case 1:
			p.NamespaceSelector = namespaces
		case 2:
			p.PodSelector, p.NamespaceSelector = pods, namespaces
		case 3:
			b := rapid.SampledFrom([]networkingv1.IPBlock{
				{CIDR: "0.0.0.0/0"}, {CIDR: "192.0.2.0/24"}, {CIDR: "10.42.0.0/29", Except: []string{"10.42.0.2/32", "10.42.0.2/31"}},
				{CIDR: "10.42.0.0/16", Except: []string{"10.42.0.0/16"}}, {CIDR: "::/0", Except: []string{"fd00:42::/125", "2001:db8::/32"}}, {CIDR: "fd00:42::4/127"},
			}).Draw(t, "block")
			p.IPBlock = &b
		}
		out = append(out, p)
	}
	return out
}

func randomPorts(t *rapid.T) []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for range rapid.IntRange(0, 2).Draw(t, "ports") {
		p := networkingv1.NetworkPolicyPort{Protocol: new(rapid.SampledFrom([]v1.Protocol{v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP}).Draw(t, "protocol"))}
		switch rapid.IntRange(0, 3).Draw(t, "port") {
		case 0:
			p.Port = new(intstr.FromInt32(rapid.SampledFrom([]int32{53, 80, 81}).Draw(t, "number")))
		case 1:
			p.Port, p.EndPort = new(intstr.FromInt32(rapid.SampledFrom([]int32{1, 80, 81}).Draw(t, "first"))), new(rapid.SampledFrom([]int32{81, 90, 65535}).Draw(t, "last"))
		case 2:
			p.Port = new(intstr.FromString(rapid.SampledFrom([]string{"web", "dns", "none"}).Draw(t, "name")))
		}
		out = append(out, p)
	}
	return out
}
