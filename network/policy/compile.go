package policy

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// Policy is a NetworkPolicy in the form that the node works with.
type Policy struct {
	namespace string
	pods      labels.Selector
	// ingress and egress are nil where the policy does not isolate that way.
	ingress, egress *side
}

// side is what a policy allows one way.
type side struct {
	// lines are rules that return, which means to let the packet through.
	lines []string
	// groups are the sets that the lines name.
	groups []group
}

// direction is seen from the pod that is isolated.
type direction string

const (
	ingress direction = "in"
	egress  direction = "out"
)

// selects tells whether the policy isolates the pod.
func (p *Policy) selects(pod *Pod) bool {
	return p.namespace == pod.Namespace && p.pods.Matches(pod.Labels)
}

func (p *Policy) side(d direction) *side {
	if d == ingress {
		return p.ingress
	}
	return p.egress
}

// Compile brings a policy into the form that the node works with. It is pure.
// What the API server would have refused is read so that it allows nothing.
func Compile(np *networkingv1.NetworkPolicy) *Policy {
	p := &Policy{namespace: np.Namespace, pods: selector(&np.Spec.PodSelector)}
	types := np.Spec.PolicyTypes
	if len(types) == 0 {
		types = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(np.Spec.Egress) > 0 {
			types = append(types, networkingv1.PolicyTypeEgress)
		}
	}
	if slices.Contains(types, networkingv1.PolicyTypeIngress) {
		p.ingress = &side{}
		for _, r := range np.Spec.Ingress {
			p.ingress.add(ingress, np.Namespace, r.From, r.Ports)
		}
	}
	if slices.Contains(types, networkingv1.PolicyTypeEgress) {
		p.egress = &side{}
		for _, r := range np.Spec.Egress {
			p.egress.add(egress, np.Namespace, r.To, r.Ports)
		}
	}
	return p
}

// selector reads a selector; one that cannot be read selects nothing.
func selector(s *metav1.LabelSelector) labels.Selector {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// peer selects pods.
type peer struct {
	// namespace that the pods are in, or "" for those that namespaces selects.
	namespace  string
	namespaces labels.Selector
	pods       labels.Selector
}

// String is the same for peers that say the same.
func (p peer) String() string {
	where := "in " + p.namespace
	if p.namespace == "" {
		where = "where " + p.namespaces.String()
	}
	return where + " pods " + p.pods.String()
}

// matches tells whether a pod is meant. Of a namespace that is not known nobody
// can say what labels it has.
func (p peer) matches(pod *Pod, namespace labels.Set, known bool) bool {
	if p.namespace != "" {
		return p.namespace == pod.Namespace && p.pods.Matches(pod.Labels)
	}
	return known && p.namespaces.Matches(namespace) && p.pods.Matches(pod.Labels)
}

// peersOf reads the selecting peers of a rule in the policy's namespace, and its
// blocks of addresses.
func peersOf(namespace string, all []networkingv1.NetworkPolicyPeer) (peers []peer, blocks []*networkingv1.IPBlock) {
	for i := range all {
		switch p := &all[i]; {
		case p.IPBlock != nil:
			blocks = append(blocks, p.IPBlock)
		case p.NamespaceSelector == nil && p.PodSelector == nil:
		default:
			out := peer{namespace: namespace, pods: labels.Everything()}
			if p.NamespaceSelector != nil {
				out.namespace, out.namespaces = "", selector(p.NamespaceSelector)
			}
			if p.PodSelector != nil {
				out.pods = selector(p.PodSelector)
			}
			peers = append(peers, out)
		}
	}
	slices.SortFunc(peers, func(a, b peer) int { return strings.Compare(a.String(), b.String()) })
	return peers, blocks
}

// ports are those of one rule and one protocol.
type ports struct {
	protocol v1.Protocol
	all      bool
	numbers  []stretch
	names    []string
}

// portsOf collects the ports of a rule by protocol.
func portsOf(all []networkingv1.NetworkPolicyPort) []*ports {
	var out []*ports
	for i := range all {
		p := &all[i]
		protocol := ptr.Deref(p.Protocol, v1.ProtocolTCP)
		at := slices.IndexFunc(out, func(o *ports) bool { return o.protocol == protocol })
		if at < 0 {
			at = len(out)
			out = append(out, &ports{protocol: protocol})
		}
		out[at].add(p)
	}
	for _, p := range out {
		p.numbers = mergePorts(p.numbers)
		slices.Sort(p.names)
		p.names = slices.Compact(p.names)
	}
	return out
}

func (p *ports) add(one *networkingv1.NetworkPolicyPort) {
	switch {
	case one.Port == nil:
		p.all = true
	case one.Port.Type == intstr.String:
		p.names = append(p.names, one.Port.StrVal)
	default:
		s := stretch{one.Port.IntVal, ptr.Deref(one.EndPort, one.Port.IntVal)}
		if s.first > 0 && s.first <= s.last && s.last <= maxPort {
			p.numbers = append(p.numbers, s)
		}
	}
}

const maxPort = 65535
