package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"proa/resource"
)

func prepareServiceUpdate(_ *resource.Request, s, old *corev1.Service) {
	s.Status = old.Status
	keepAllocated(s, old)
	agreeOnClusterIPs(s, old)
	dropUnused(s, old)
}

// keepAllocated gives a service that is replaced by one without addresses and
// ports those that it has, since many clients send back what they once wrote.
func keepAllocated(s, old *corev1.Service) {
	if !isExternalName(old) && !isExternalName(s) {
		if s.Spec.ClusterIP == "" {
			s.Spec.ClusterIP = old.Spec.ClusterIP
		}
		if len(s.Spec.ClusterIPs) == 0 {
			s.Spec.ClusterIPs = slices.Clone(old.Spec.ClusterIPs)
		}
	}
	if needsNodePort(old) && needsNodePort(s) {
		had, taken := map[string]int32{}, map[int32]bool{}
		for _, p := range old.Spec.Ports {
			had[p.Name] = p.NodePort
		}
		for _, p := range s.Spec.Ports {
			taken[p.NodePort] = true
		}
		for i := range s.Spec.Ports {
			if p := &s.Spec.Ports[i]; p.NodePort == 0 && !taken[had[p.Name]] {
				p.NodePort = had[p.Name]
			}
		}
	}
	if needsHealthPort(old) && needsHealthPort(s) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
}

// agreeOnClusterIPs makes clusterIPs follow clusterIP for clients that know only
// that. A client that knows the list has to write both: validation sees to it.
func agreeOnClusterIPs(s, old *corev1.Service) {
	sp := &s.Spec
	if old == nil {
		if sp.ClusterIP != "" && len(sp.ClusterIPs) == 0 {
			sp.ClusterIPs = []string{sp.ClusterIP}
		}
		return
	}
	was := &old.Spec
	if len(sp.ClusterIPs) == 0 && sp.ClusterIP == was.ClusterIP {
		sp.ClusterIPs = slices.Clone(was.ClusterIPs)
	}
	if sp.ClusterIP == was.ClusterIP || !slices.Equal(sp.ClusterIPs, was.ClusterIPs) {
		return
	}
	sp.ClusterIPs = nil
	if sp.ClusterIP != "" {
		sp.ClusterIPs = []string{sp.ClusterIP}
	}
}

// dropUnused clears what the type of a service no longer uses, where the
// client has left it as it was.
func dropUnused(s, old *corev1.Service) {
	sp, was := &s.Spec, &old.Spec
	if !isExternalName(old) && isExternalName(s) {
		if sp.ClusterIP == was.ClusterIP && slices.Equal(sp.ClusterIPs, was.ClusterIPs) {
			sp.ClusterIP, sp.ClusterIPs = "", nil
		}
		if slices.Equal(sp.IPFamilies, was.IPFamilies) {
			sp.IPFamilies = nil
		}
		if equalPointers(sp.IPFamilyPolicy, was.IPFamilyPolicy) {
			sp.IPFamilyPolicy = nil
		}
	}
	if needsNodePort(old) && !needsNodePort(s) && sameNodePorts(sp.Ports, was.Ports) {
		for i := range sp.Ports {
			sp.Ports[i].NodePort = 0
		}
	}
	if needsHealthPort(old) && !needsHealthPort(s) && sp.HealthCheckNodePort == was.HealthCheckNodePort {
		sp.HealthCheckNodePort = 0
	}
	if was.Type == corev1.ServiceTypeLoadBalancer && sp.Type != corev1.ServiceTypeLoadBalancer {
		if equalPointers(sp.AllocateLoadBalancerNodePorts, was.AllocateLoadBalancerNodePorts) {
			sp.AllocateLoadBalancerNodePorts = nil
		}
		if equalPointers(sp.LoadBalancerClass, was.LoadBalancerClass) {
			sp.LoadBalancerClass = nil
		}
	}
	if externallyAccessible(old) && !externallyAccessible(s) && sp.ExternalTrafficPolicy == was.ExternalTrafficPolicy {
		sp.ExternalTrafficPolicy = ""
	}
}

func sameNodePorts(a, b []corev1.ServicePort) bool {
	used := func(ports []corev1.ServicePort) map[int32]bool {
		m := map[int32]bool{}
		for _, p := range ports {
			m[p.NodePort] = true
		}
		return m
	}
	x, y := used(a), used(b)
	if len(x) != len(y) {
		return false
	}
	for p := range x {
		if !y[p] {
			return false
		}
	}
	return true
}
