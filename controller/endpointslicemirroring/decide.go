package endpointslicemirroring

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller/servicepods"
	"proa/controller/slicecontrol"
)

// managedBy marks the slices that are this controller's.
const managedBy = "endpointslicemirroring-controller.k8s.io"

// maxEndpoints are mirrored of a subset, and are in a slice.
const maxEndpoints = 1000

// leaderAnnotation marks Endpoints that are a lock and not a list of addresses.
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"

// mirrors tells whether Endpoints are to be mirrored. svc is nil where there is
// no service of their name.
func mirrors(ep *v1.Endpoints, svc *v1.Service) bool {
	if ep.DeletionTimestamp != nil || svc == nil || svc.Spec.Selector != nil {
		return false
	}
	if ep.Labels[discoveryv1.LabelSkipMirror] == "true" {
		return false
	}
	_, lock := ep.Annotations[leaderAnnotation]
	return !lock
}

// decide compares the slices with the Endpoints that they mirror; ep is nil where
// there is nothing to mirror. The slices are shared; those to be updated are
// copies.
func decide(ep *v1.Endpoints, is []*discoveryv1.EndpointSlice) slicecontrol.Plan {
	var want []*discoveryv1.EndpointSlice
	if ep != nil {
		want = wanted(ep)
	}
	left := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range slices.SortedFunc(slices.Values(is), func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) }) {
		k := keyOf(s)
		left[k] = append(left[k], s)
	}
	var p slicecontrol.Plan
	for _, w := range want {
		k := keyOf(w)
		if len(left[k]) == 0 {
			p.Create = append(p.Create, w)
			continue
		}
		has := left[k][0]
		left[k] = left[k][1:]
		if !same(has, w) {
			next := has.DeepCopy()
			next.Labels, next.Annotations, next.OwnerReferences, next.Endpoints = w.Labels, w.Annotations, w.OwnerReferences, w.Endpoints
			p.Update = append(p.Update, next)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(left)) {
		p.Remove = append(p.Remove, left[k]...)
	}
	return p
}

func same(a, b *discoveryv1.EndpointSlice) bool {
	return equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) && equality.Semantic.DeepEqual(a.Labels, b.Labels) &&
		equality.Semantic.DeepEqual(a.Annotations, b.Annotations) && equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}

// wanted are the slices that mirror the Endpoints: one or more for each family of
// addresses and list of ports.
func wanted(ep *v1.Endpoints) []*discoveryv1.EndpointSlice {
	byKey := map[string]*discoveryv1.EndpointSlice{}
	seen := map[string]bool{}
	for _, s := range servicepods.Repack(ep.Subsets) {
		ports := portsOf(&s)
		n := 0
		add := func(addresses []v1.EndpointAddress, ready bool) {
			for k := range addresses {
				a, err := netip.ParseAddr(addresses[k].IP)
				if err != nil || n == maxEndpoints {
					continue
				}
				slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: ports}
				if a.Is6() {
					slice.AddressType = discoveryv1.AddressTypeIPv6
				}
				key := keyOf(slice)
				if byKey[key] == nil {
					byKey[key] = slice
				}
				if id := key + "/" + a.String(); !seen[id] {
					seen[id] = true
					byKey[key].Endpoints = append(byKey[key].Endpoints, endpointOf(&addresses[k], ready))
					n++
				}
			}
		}
		add(s.Addresses, true)
		add(s.NotReadyAddresses, false)
	}
	var out []*discoveryv1.EndpointSlice
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		for chunk := range slices.Chunk(byKey[k].Endpoints, maxEndpoints) {
			out = append(out, &discoveryv1.EndpointSlice{
				ObjectMeta: metaOf(ep), AddressType: byKey[k].AddressType, Ports: byKey[k].Ports, Endpoints: chunk,
			})
		}
	}
	return out
}

// metaOf hands the labels and annotations of Endpoints on, but for those that
// speak of the Endpoints themselves.
func metaOf(ep *v1.Endpoints) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: ep.Namespace, GenerateName: ep.Name + "-", Labels: map[string]string{},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(ep, v1.SchemeGroupVersion.WithKind("Endpoints"))},
	}
	maps.Copy(m.Labels, ep.Labels)
	delete(m.Labels, discoveryv1.LabelSkipMirror)
	m.Labels[discoveryv1.LabelServiceName], m.Labels[discoveryv1.LabelManagedBy] = ep.Name, managedBy
	for k, v := range ep.Annotations {
		if k == v1.EndpointsLastChangeTriggerTime || k == v1.LastAppliedConfigAnnotation {
			continue
		}
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[k] = v
	}
	return m
}

func endpointOf(a *v1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, NodeName: a.NodeName,
	}
	if a.Hostname != "" {
		e.Hostname = &a.Hostname
	}
	if a.TargetRef != nil {
		e.TargetRef = a.TargetRef.DeepCopy()
	}
	return e
}

func portsOf(s *v1.EndpointSubset) []discoveryv1.EndpointPort {
	out := []discoveryv1.EndpointPort{}
	for i := range s.Ports {
		p := s.Ports[i]
		out = append(out, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol, AppProtocol: p.AppProtocol})
	}
	return out
}

// keyOf tells slices apart by what cannot change in one.
func keyOf(s *discoveryv1.EndpointSlice) string {
	keys := make([]string, len(s.Ports))
	for i, p := range s.Ports {
		keys[i] = fmt.Sprintf("%s/%s/%d/%s", value(p.Name), value(p.Protocol), value(p.Port), value(p.AppProtocol))
	}
	slices.Sort(keys)
	return string(s.AddressType) + "," + strings.Join(keys, ",")
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
