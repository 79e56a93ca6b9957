package endpoints

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"proa/controller/podstate"
	"proa/controller/servicepods"
)

// maxAddresses in one object; the rest is left out.
const maxAddresses = 1000

// decide computes the subsets of a service, and whether addresses had to be
// left out.
func decide(svc *v1.Service, pods []*v1.Pod) (subsets []v1.EndpointSubset, truncated bool) {
	groups := map[string]*v1.EndpointSubset{}
	for _, pod := range pods {
		if podstate.Finished(pod) || pod.DeletionTimestamp != nil && !svc.Spec.PublishNotReadyAddresses {
			continue
		}
		a, ok := addressOf(svc, pod)
		if !ok {
			continue
		}
		ports, key := portsOf(svc, pod)
		if len(ports) == 0 && len(svc.Spec.Ports) > 0 {
			continue
		}
		g := groups[key]
		if g == nil {
			g = &v1.EndpointSubset{Ports: ports}
			groups[key] = g
		}
		if svc.Spec.PublishNotReadyAddresses || podstate.Ready(pod) {
			g.Addresses = append(g.Addresses, a)
		} else {
			g.NotReadyAddresses = append(g.NotReadyAddresses, a)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		subsets = append(subsets, *groups[k])
	}
	return truncate(servicepods.Repack(subsets))
}

// truncate leaves out what is more than one object may hold.
func truncate(subsets []v1.EndpointSubset) (left []v1.EndpointSubset, truncated bool) {
	room := maxAddresses
	take := func(list []v1.EndpointAddress) []v1.EndpointAddress {
		if len(list) > room {
			truncated = true
			list = list[:room]
		}
		room -= len(list)
		return list
	}
	for i := range subsets { // ready ones first, wherever they are
		subsets[i].Addresses = take(subsets[i].Addresses)
	}
	for i := range subsets {
		subsets[i].NotReadyAddresses = take(subsets[i].NotReadyAddresses)
		if len(subsets[i].Addresses)+len(subsets[i].NotReadyAddresses) > 0 {
			left = append(left, subsets[i])
		}
	}
	return left, truncated
}

// addressOf is a pod's address in the family that the service prefers.
func addressOf(svc *v1.Service, pod *v1.Pod) (a v1.EndpointAddress, ok bool) {
	six := len(svc.Spec.IPFamilies) > 0 && svc.Spec.IPFamilies[0] == v1.IPv6Protocol
	for _, ip := range pod.Status.PodIPs {
		p, err := netip.ParseAddr(ip.IP)
		if err != nil || p.Is6() != six {
			continue
		}
		a = v1.EndpointAddress{
			IP: ip.IP, Hostname: servicepods.Hostname(svc, pod),
			TargetRef: &v1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		}
		if pod.Spec.NodeName != "" {
			node := pod.Spec.NodeName
			a.NodeName = &node
		}
		return a, true
	}
	return a, false
}

func portsOf(svc *v1.Service, pod *v1.Pod) (ports []v1.EndpointPort, key string) {
	var keys []string
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		n, ok := servicepods.TargetPort(pod, sp)
		if !ok {
			continue
		}
		ports = append(ports, v1.EndpointPort{Name: sp.Name, Port: n, Protocol: sp.Protocol, AppProtocol: sp.AppProtocol})
		keys = append(keys, fmt.Sprintf("%s/%s/%d", sp.Name, sp.Protocol, n))
	}
	return ports, strings.Join(keys, ",")
}

// labelsOf are the service's own, and the one that says it is headless.
func labelsOf(svc *v1.Service) map[string]string {
	out := maps.Clone(svc.Labels)
	if out == nil {
		out = map[string]string{}
	}
	delete(out, v1.IsHeadlessService)
	if svc.Spec.ClusterIP == v1.ClusterIPNone {
		out[v1.IsHeadlessService] = ""
	}
	out["endpoints.kubernetes.io/managed-by"] = "endpoint-controller"
	return out
}

// annotationsOf keeps what others have set and tells of a full object.
func annotationsOf(was map[string]string, truncated bool) map[string]string {
	out := maps.Clone(was)
	if truncated {
		if out == nil {
			out = map[string]string{}
		}
		out[v1.EndpointsOverCapacity] = "truncated"
		return out
	}
	delete(out, v1.EndpointsOverCapacity)
	return out
}
