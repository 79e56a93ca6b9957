package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Pod is what policies see of a pod.
type Pod struct {
	types.NamespacedName
	Labels labels.Set
	Addrs  []netip.Addr
	Ports  []Port
	// Local pods are isolated by this node.
	Local bool
	// Created and Admitted tell whose an address is that several pods of this node
	// show: that of the one that was admitted last, or made last.
	Created  time.Time
	Admitted uint64
}

// Port is a named port of a pod.
type Port struct {
	Name     string
	Protocol v1.Protocol
	Number   int32
}

// podOf reads what policies see of a pod that has the addresses. It is nil for
// one that they do not see.
func podOf(p *v1.Pod, addrs []netip.Addr, node string) *Pod {
	if p.Spec.HostNetwork || len(addrs) == 0 || ended(p) {
		return nil
	}
	out := &Pod{
		NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name},
		Labels:         p.Labels, Addrs: addrs, Local: p.Spec.NodeName == node, Created: p.CreationTimestamp.Time,
	}
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			for _, port := range list[i].Ports {
				if port.Name != "" {
					out.Ports = append(out.Ports, Port{port.Name, cmp.Or(port.Protocol, v1.ProtocolTCP), port.ContainerPort})
				}
			}
		}
	}
	return out
}

// ended tells whether a pod has given its addresses back.
func ended(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// addresses that the API shows of a pod.
func addresses(p *v1.Pod) []netip.Addr {
	var texts []string
	for _, ip := range p.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 {
		texts = []string{p.Status.PodIP}
	}
	return parse(texts)
}

// parse reads addresses and leaves out what is none.
func parse(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil && a.Zone() == "" {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// same tells whether policies see no difference between two pods.
func same(a, b *Pod) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.NamespacedName == b.NamespacedName && a.Local == b.Local && a.Admitted == b.Admitted && a.Created.Equal(b.Created) &&
		maps.Equal(a.Labels, b.Labels) && slices.Equal(a.Addrs, b.Addrs) && slices.Equal(a.Ports, b.Ports)
}

// later tells whether a is the one whose address it is that both show.
func (p *Pod) later(other *Pod) bool {
	return cmp.Or(cmp.Compare(p.Admitted, other.Admitted), p.Created.Compare(other.Created), cmp.Compare(p.String(), other.String())) > 0
}
