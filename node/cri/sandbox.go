package cri

import (
	"errors"
	"maps"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// SandboxConfig gives the pod's sandbox. Pure. Warnings are events to record
// once per sandbox.
func SandboxConfig(in PodInput) (c *runtimeapi.PodSandboxConfig, warnings []Warning, err error) {
	pod := in.Pod
	if u := pod.Spec.HostUsers; u != nil && !*u && !hasOwnUsers(in.UserNamespace) {
		// Root in it would be root on the node.
		return nil, nil, errors.New("the pod asks for a user namespace (hostUsers: false), which this node agent did not make")
	}
	dns, warnings, err := PodDNS(in.Node, pod)
	if err != nil {
		return nil, nil, err
	}
	c = &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{
			Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: in.Attempt,
		},
		LogDirectory: PodLogDir(in.Node.PodLogs, pod.Namespace, pod.Name, pod.UID),
		DnsConfig:    dns,
		PortMappings: portMappings(pod),
		Labels:       PodLabels(pod),
		Annotations:  maps.Clone(pod.Annotations),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    in.CgroupParent,
			SecurityContext: sandboxSecurity(in),
			Sysctls:         sysctls(pod),
		},
	}
	c.Linux.Resources, c.Linux.Overhead = sandboxResources(in)
	// On the host network the runtime takes the host's name.
	if !pod.Spec.HostNetwork {
		if c.Hostname, err = kernelHostname(pod, in.Node.ClusterDomain); err != nil {
			return nil, nil, err
		}
	}
	return c, warnings, nil
}

func sysctls(pod *corev1.Pod) map[string]string {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	m := make(map[string]string, len(pod.Spec.SecurityContext.Sysctls))
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		m[s.Name] = s.Value
	}
	return m
}

// portMappings are the ports of all containers that stay, once each. On the
// host network there is nothing to map.
func portMappings(pod *corev1.Pod) []*runtimeapi.PortMapping {
	if pod.Spec.HostNetwork {
		return nil
	}
	type key struct {
		ip       string
		proto    corev1.Protocol
		port, on int32
	}
	seen := map[key]bool{}
	var out []*runtimeapi.PortMapping
	add := func(ports []corev1.ContainerPort) {
		for _, p := range ports {
			k := key{p.HostIP, p.Protocol, p.ContainerPort, p.HostPort}
			if seen[k] {
				continue
			}
			seen[k] = true
			out = append(out, &runtimeapi.PortMapping{
				Protocol: protocol(p.Protocol), ContainerPort: p.ContainerPort, HostPort: p.HostPort, HostIp: p.HostIP,
			})
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; IsSidecar(pod, c.Name) {
			add(c.Ports)
		}
	}
	for i := range pod.Spec.Containers {
		add(pod.Spec.Containers[i].Ports)
	}
	return out
}

func protocol(p corev1.Protocol) runtimeapi.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return runtimeapi.Protocol_UDP
	case corev1.ProtocolSCTP:
		return runtimeapi.Protocol_SCTP
	}
	return runtimeapi.Protocol_TCP
}

// hasOwnUsers says whether a user namespace is the pod's own. The zero mode is
// the pod's, so absence has to be asked for.
func hasOwnUsers(u *runtimeapi.UserNamespace) bool {
	return u != nil && u.Mode == runtimeapi.NamespaceMode_POD
}
