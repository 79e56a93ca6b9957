package policy

import (
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// world is a cluster, as plain as can be.
type world struct {
	namespaces map[string]labels.Set
	pods       map[types.NamespacedName]*Pod
	policies   map[types.NamespacedName]*networkingv1.NetworkPolicy
}

func newWorld() *world {
	return &world{namespaces: map[string]labels.Set{}, pods: map[types.NamespacedName]*Pod{}, policies: map[types.NamespacedName]*networkingv1.NetworkPolicy{}}
}

// owner is the pod that has an address, or nil.
func (w *world) owner(a netip.Addr) *Pod {
	for _, p := range w.pods {
		if slices.Contains(p.Addrs, a) {
			return p
		}
	}
	return nil
}

// allows says by the words of the API, slowly, whether a connection may be made.
func (w *world) allows(c packet) bool {
	if c.from == c.to {
		return true
	}
	from, to := w.owner(c.from), w.owner(c.to)
	return w.oneWay(networkingv1.PolicyTypeEgress, from, to, c.to, c) && w.oneWay(networkingv1.PolicyTypeIngress, to, from, c.from, c)
}

// oneWay judges by the policies that isolate self. The other end is at an address
// and may be a pod.
func (w *world) oneWay(way networkingv1.PolicyType, self, other *Pod, at netip.Addr, c packet) bool {
	if self == nil || !self.Local {
		return true
	}
	isolated := false
	for _, np := range w.policies {
		if np.Namespace != self.Namespace || !has(&np.Spec.PodSelector, self.Labels) || !slices.Contains(np.Spec.PolicyTypes, way) {
			continue
		}
		isolated = true
		if way == networkingv1.PolicyTypeIngress {
			for _, r := range np.Spec.Ingress {
				if w.peer(np.Namespace, r.From, other, at) && w.port(r.Ports, c) {
					return true
				}
			}
		} else {
			for _, r := range np.Spec.Egress {
				if w.peer(np.Namespace, r.To, other, at) && w.port(r.Ports, c) {
					return true
				}
			}
		}
	}
	return !isolated
}

func (w *world) peer(namespace string, all []networkingv1.NetworkPolicyPeer, other *Pod, at netip.Addr) bool {
	if len(all) == 0 {
		return true
	}
	for _, p := range all {
		if b := p.IPBlock; b != nil {
			in := netip.MustParsePrefix(b.CIDR).Contains(at)
			for _, e := range b.Except {
				in = in && !netip.MustParsePrefix(e).Contains(at)
			}
			if in {
				return true
			}
			continue
		}
		if other == nil {
			continue
		}
		ok := p.PodSelector == nil || has(p.PodSelector, other.Labels)
		if p.NamespaceSelector != nil {
			l, known := w.namespaces[other.Namespace]
			ok = ok && known && has(p.NamespaceSelector, l)
		} else {
			ok = ok && other.Namespace == namespace
		}
		if ok {
			return true
		}
	}
	return false
}

func (w *world) port(all []networkingv1.NetworkPolicyPort, c packet) bool {
	if len(all) == 0 {
		return true
	}
	for _, p := range all {
		if strings.ToLower(string(*p.Protocol)) != c.protocol {
			continue
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			if to := w.owner(c.to); to != nil && slices.Contains(to.Ports, Port{p.Port.StrVal, *p.Protocol, int32(c.port)}) {
				return true
			}
		case p.EndPort != nil:
			if int32(c.port) >= p.Port.IntVal && int32(c.port) <= *p.EndPort {
				return true
			}
		case int(p.Port.IntVal) == c.port:
			return true
		}
	}
	return false
}

func has(s *metav1.LabelSelector, l labels.Set) bool {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		panic(err)
	}
	return out.Matches(l)
}
