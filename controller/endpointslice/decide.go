package endpointslice

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller/podstate"
	"proa/controller/servicepods"
	"proa/controller/slicecontrol"
)

// managedBy marks the slices that are this controller's.
const managedBy = "endpointslice-controller.k8s.io"

// maxEndpoints in a slice.
const maxEndpoints = 100

// plan is what is to be done with the slices of one service.
type plan struct{ slicecontrol.Plan }

// zoneOf returns the zone of a node, or "".
type zoneOf func(node string) string

// decide compares. The slices are shared; those to be updated are copies.
func decide(svc *v1.Service, pods []*v1.Pod, is []*discoveryv1.EndpointSlice, zone zoneOf) plan {
	var p plan
	families := addressTypes(svc)
	for _, s := range is {
		if !slices.Contains(families, s.AddressType) {
			p.Remove = append(p.Remove, s)
		}
	}
	for _, f := range families {
		p.family(svc, pods, slices.DeleteFunc(slices.Clone(is), func(s *discoveryv1.EndpointSlice) bool { return s.AddressType != f }), f, zone)
	}
	return p
}

// group is the endpoints that share a list of ports.
type group struct {
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

func (p *plan) family(svc *v1.Service, pods []*v1.Pod, is []*discoveryv1.EndpointSlice, f discoveryv1.AddressType, zone zoneOf) {
	groups := map[string]*group{}
	for _, pod := range pods {
		e, ok := endpointOf(svc, pod, f, zone)
		if !ok {
			continue
		}
		ports := portsOf(svc, pod)
		key := portsKey(ports)
		if groups[key] == nil {
			groups[key] = &group{ports: ports}
		}
		groups[key].endpoints = append(groups[key].endpoints, e)
	}
	byPorts := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range is {
		byPorts[portsKey(s.Ports)] = append(byPorts[portsKey(s.Ports)], s)
	}
	if len(groups) == 0 {
		// One empty slice says that there is a service with nothing behind it.
		if len(is) == 0 {
			p.Create = append(p.Create, newSlice(svc, f, nil, nil))
			return
		}
		keep := slices.MinFunc(is, func(a, b *discoveryv1.EndpointSlice) int {
			return cmp.Or(cmp.Compare(len(a.Endpoints), len(b.Endpoints)), cmp.Compare(a.Name, b.Name))
		})
		for _, s := range is {
			if s.UID != keep.UID {
				p.Remove = append(p.Remove, s)
			}
		}
		p.fit(svc, keep, nil)
		return
	}
	for key, list := range byPorts {
		if groups[key] == nil {
			p.Remove = append(p.Remove, list...)
		}
	}
	for key, g := range groups {
		p.group(svc, g, byPorts[key], f)
	}
}

// group lets endpoints stay where they are, and puts new ones where there is
// room.
func (p *plan) group(svc *v1.Service, g *group, is []*discoveryv1.EndpointSlice, f discoveryv1.AddressType) {
	want := map[string]discoveryv1.Endpoint{}
	for _, e := range g.endpoints {
		want[identityOf(&e)] = e
	}
	slices.SortFunc(is, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	content := make([][]discoveryv1.Endpoint, len(is))
	for i, s := range is {
		for k := range s.Endpoints {
			id := identityOf(&s.Endpoints[k])
			if e, ok := want[id]; ok {
				content[i] = append(content[i], e)
				delete(want, id)
			}
		}
	}
	var left []discoveryv1.Endpoint
	for _, e := range g.endpoints {
		if _, ok := want[identityOf(&e)]; ok {
			left = append(left, e)
		}
	}
	for i := range is {
		if n := min(len(left), maxEndpoints-len(content[i])); n > 0 {
			content[i] = append(content[i], left[:n]...)
			left = left[n:]
		}
	}
	for i, s := range is {
		if len(content[i]) == 0 {
			p.Remove = append(p.Remove, s)
			continue
		}
		p.fit(svc, s, content[i])
	}
	for chunk := range slices.Chunk(left, maxEndpoints) {
		p.Create = append(p.Create, newSlice(svc, f, g.ports, chunk))
	}
}

// fit updates a slice where it differs from what it should be.
func (p *plan) fit(svc *v1.Service, s *discoveryv1.EndpointSlice, endpoints []discoveryv1.Endpoint) {
	want := sliceLabels(svc)
	if equality.Semantic.DeepEqual(s.Endpoints, endpoints) && equality.Semantic.DeepEqual(s.Labels, want) && len(s.OwnerReferences) > 0 {
		return
	}
	next := s.DeepCopy()
	next.Endpoints, next.Labels = endpoints, want
	next.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(svc, v1.SchemeGroupVersion.WithKind("Service"))}
	p.Update = append(p.Update, next)
}

func newSlice(svc *v1.Service, f discoveryv1.AddressType, ports []discoveryv1.EndpointPort, endpoints []discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: svc.Namespace, GenerateName: svc.Name + "-", Labels: sliceLabels(svc),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, v1.SchemeGroupVersion.WithKind("Service"))},
		},
		AddressType: f, Ports: ports, Endpoints: endpoints,
	}
}

// sliceLabels are the service's own, and those that say whose slice it is.
func sliceLabels(svc *v1.Service) map[string]string {
	out := map[string]string{}
	for k, v := range svc.Labels {
		out[k] = v
	}
	delete(out, v1.IsHeadlessService)
	if svc.Spec.ClusterIP == v1.ClusterIPNone {
		out[v1.IsHeadlessService] = ""
	}
	out[discoveryv1.LabelServiceName] = svc.Name
	out[discoveryv1.LabelManagedBy] = managedBy
	return out
}

func addressTypes(svc *v1.Service) (out []discoveryv1.AddressType) {
	for _, f := range svc.Spec.IPFamilies {
		if f == v1.IPv6Protocol {
			out = append(out, discoveryv1.AddressTypeIPv6)
		} else {
			out = append(out, discoveryv1.AddressTypeIPv4)
		}
	}
	if len(out) == 0 {
		out = append(out, discoveryv1.AddressTypeIPv4)
	}
	return out
}

// endpointOf makes the endpoint of a pod in one address family; ok is false
// for a pod that has no address there or is finished.
func endpointOf(svc *v1.Service, pod *v1.Pod, f discoveryv1.AddressType, zone zoneOf) (e discoveryv1.Endpoint, ok bool) {
	if podstate.Finished(pod) {
		return e, false
	}
	for _, ip := range pod.Status.PodIPs {
		a, err := netip.ParseAddr(ip.IP)
		if err == nil && a.Is4() == (f == discoveryv1.AddressTypeIPv4) {
			e.Addresses = []string{ip.IP}
			break
		}
	}
	if e.Addresses == nil {
		return e, false
	}
	serving := podstate.Ready(pod)
	terminating := pod.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	e.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
	e.TargetRef = &v1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	if pod.Spec.NodeName != "" {
		node := pod.Spec.NodeName
		e.NodeName = &node
		if z := zone(node); z != "" {
			e.Zone = &z
		}
	}
	if h := servicepods.Hostname(svc, pod); h != "" {
		e.Hostname = &h
	}
	return e, true
}

func portsOf(svc *v1.Service, pod *v1.Pod) []discoveryv1.EndpointPort {
	out := []discoveryv1.EndpointPort{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if n, ok := servicepods.TargetPort(pod, sp); ok {
			name, protocol := sp.Name, sp.Protocol
			out = append(out, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &n, AppProtocol: sp.AppProtocol})
		}
	}
	return out
}

func portsKey(ports []discoveryv1.EndpointPort) string {
	keys := make([]string, len(ports))
	for i, p := range ports {
		keys[i] = fmt.Sprintf("%s/%s/%d/%s", value(p.Name), value(p.Protocol), value(p.Port), value(p.AppProtocol))
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// identityOf tells endpoints apart: by pod, and by address.
func identityOf(e *discoveryv1.Endpoint) string {
	uid := ""
	if e.TargetRef != nil {
		uid = string(e.TargetRef.UID)
	}
	return uid + "/" + strings.Join(e.Addresses, ",")
}
