package cri

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const hostsPath = "/etc/hosts"

// HostsContent is a pod's /etc/hosts: localhost, its own addresses, its
// aliases.
func HostsContent(podIPs []string, hostname, domain string, aliases []corev1.HostAlias) []byte {
	var b bytes.Buffer
	b.WriteString("# Kubernetes-managed hosts file.\n")
	b.WriteString("127.0.0.1\tlocalhost\n")
	b.WriteString("::1\tlocalhost ip6-localhost ip6-loopback\n")
	b.WriteString("fe00::0\tip6-localnet\n")
	b.WriteString("fe00::0\tip6-mcastprefix\n")
	b.WriteString("fe00::1\tip6-allnodes\n")
	b.WriteString("fe00::2\tip6-allrouters\n")
	for _, ip := range podIPs {
		if domain != "" {
			fmt.Fprintf(&b, "%s\t%s.%s\t%s\n", ip, hostname, domain, hostname)
		} else {
			fmt.Fprintf(&b, "%s\t%s\n", ip, hostname)
		}
	}
	writeAliases(&b, aliases)
	return b.Bytes()
}

// HostNetworkHostsContent is /etc/hosts of a pod on the host network: the
// node's, and the pod's aliases.
func HostNetworkHostsContent(nodeHosts []byte, aliases []corev1.HostAlias) []byte {
	var b bytes.Buffer
	b.WriteString("# Kubernetes-managed hosts file (host network).\n")
	b.Write(nodeHosts)
	writeAliases(&b, aliases)
	return b.Bytes()
}

func writeAliases(b *bytes.Buffer, aliases []corev1.HostAlias) {
	if len(aliases) == 0 {
		return
	}
	b.WriteString("\n# Entries added by HostAliases.\n")
	for _, a := range aliases {
		fmt.Fprintf(b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
}

// hostsMount writes the pod's hosts file and mounts it, unless the container
// mounts something there itself, or the pod has no address yet.
func hostsMount(in ContainerInput) (*runtimeapi.Mount, error) {
	for _, m := range in.Container.VolumeMounts {
		if m.MountPath == hostsPath {
			return nil, nil
		}
	}
	var content []byte
	if in.Pod.Spec.HostNetwork {
		host, err := os.ReadFile(hostsPath)
		if err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("read the node's %s: %w", hostsPath, err)
		}
		content = HostNetworkHostsContent(host, in.Pod.Spec.HostAliases)
	} else {
		ips := in.podIPs()
		if len(ips) == 0 {
			return nil, nil
		}
		name, domain, err := Hostname(in.Pod, in.Node.ClusterDomain)
		if err != nil {
			return nil, err
		}
		content = HostsContent(ips, name, domain, in.Pod.Spec.HostAliases)
	}
	// In place, not by rename: containers that run already have this very file
	// mounted, and the file is all theirs, so nothing is read half written
	// that matters more than a resolver's retry.
	path := HostsFile(in.Node.Root, in.Pod.UID)
	if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, content) {
		if err := os.MkdirAll(PodDir(in.Node.Root, in.Pod.UID), 0o750); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return nil, err
		}
	}
	return &runtimeapi.Mount{ContainerPath: hostsPath, HostPath: path, SelinuxRelabel: true}, nil
}
