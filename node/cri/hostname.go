package cri

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Linux allows 64 bytes for the host name, DNS 63 for a label.
const (
	maxHostname = 63
	maxFQDN     = 64
)

// Hostname is the pod's host name and the domain it is in ("" without a
// subdomain).
func Hostname(pod *corev1.Pod, clusterDomain string) (name, domain string, err error) {
	if o := pod.Spec.HostnameOverride; o != nil && *o != "" {
		if msgs := validation.IsDNS1123Subdomain(*o); len(msgs) != 0 {
			return "", "", fmt.Errorf("pod HostnameOverride %q is not a valid DNS subdomain: %s", *o, strings.Join(msgs, ";"))
		}
		return *o, "", nil
	}
	name = pod.Name
	if h := pod.Spec.Hostname; h != "" {
		if msgs := validation.IsDNS1123Label(h); len(msgs) != 0 {
			return "", "", fmt.Errorf("pod Hostname %q is not a valid DNS label: %s", h, strings.Join(msgs, ";"))
		}
		name = h
	}
	if len(name) > maxHostname {
		// A label must not end in a dash or dot.
		cut := strings.TrimRight(name[:maxHostname], "-.")
		if cut == "" {
			return "", "", fmt.Errorf("hostname for pod %q was invalid: %q", pod.Name, name)
		}
		name = cut
	}
	if s := pod.Spec.Subdomain; s != "" {
		if msgs := validation.IsDNS1123Label(s); len(msgs) != 0 {
			return "", "", fmt.Errorf("pod Subdomain %q is not a valid DNS label: %s", s, strings.Join(msgs, ";"))
		}
		domain = fmt.Sprintf("%s.%s.svc.%s", s, pod.Namespace, clusterDomain)
	}
	return name, domain, nil
}

// kernelHostname is what uname shall say: the name, or the fully qualified one
// where the pod asks for it.
func kernelHostname(pod *corev1.Pod, clusterDomain string) (string, error) {
	name, domain, err := Hostname(pod, clusterDomain)
	if err != nil || domain == "" || !isTrue(pod.Spec.SetHostnameAsFQDN) {
		return name, err
	}
	fqdn := name + "." + domain
	if len(fqdn) > maxFQDN {
		return "", fmt.Errorf("failed to construct FQDN from pod hostname and cluster domain, FQDN %s is too long (%d characters is the max, %d characters requested)", fqdn, maxFQDN, len(fqdn))
	}
	return fqdn, nil
}
