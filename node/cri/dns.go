package cri

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The limits of the resolver that the API promises.
const (
	maxNameservers   = 3
	maxSearchPaths   = 32
	maxSearchChars   = 2048
	clusterNDotsFive = "ndots:5"
)

// PodDNS is the pod's resolver configuration by its policy. Warnings say what
// had to be left out to stay within the resolver's limits, or that a cluster
// policy fell back to the node's for lack of a cluster DNS; they are for
// events (DNSConfigForming and MissingClusterDNS).
func PodDNS(node *Node, pod *corev1.Pod) (config *runtimeapi.DNSConfig, warnings []Warning, err error) {
	var d DNS
	policy := pod.Spec.DNSPolicy
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, "":
		if pod.Spec.HostNetwork && policy != corev1.DNSClusterFirstWithHostNet {
			d = node.HostDNS.clone()
			break
		}
		if len(node.ClusterDNS) == 0 {
			warnings = append(warnings, Warning{"MissingClusterDNS", fmt.Sprintf(
				"pod: %q. kubelet does not have ClusterDNS IP configured and cannot create Pod using %q policy. Falling back to %q policy.",
				PodString(pod), corev1.DNSClusterFirst, corev1.DNSDefault)})
			d = node.HostDNS.clone()
			break
		}
		d.Servers = slices.Clone(node.ClusterDNS)
		if dom := node.ClusterDomain; dom != "" {
			d.Searches = []string{pod.Namespace + ".svc." + dom, "svc." + dom, dom}
		}
		d.Searches = unique(append(d.Searches, node.HostDNS.Searches...))
		d.Options = []string{clusterNDotsFive}
	case corev1.DNSDefault:
		d = node.HostDNS.clone()
	default:
		return nil, nil, fmt.Errorf("failed to get DNS type for pod %q: invalid DNSPolicy=%v", PodString(pod), policy)
	}
	if c := pod.Spec.DNSConfig; c != nil {
		d.Servers = unique(append(d.Servers, c.Nameservers...))
		d.Searches = unique(append(d.Searches, c.Searches...))
		d.Options = mergeOptions(d.Options, c.Options)
	}
	warnings = append(warnings, d.fit()...)
	return &runtimeapi.DNSConfig{Servers: d.Servers, Searches: d.Searches, Options: d.Options}, warnings, nil
}

// Warning is an event of type Warning to record on the pod.
type Warning struct{ Reason, Message string }

func (d DNS) clone() DNS {
	return DNS{slices.Clone(d.Servers), slices.Clone(d.Searches), slices.Clone(d.Options)}
}

// fit cuts the lists to what the resolver takes.
func (d *DNS) fit() (w []Warning) {
	if len(d.Servers) > maxNameservers {
		d.Servers = d.Servers[:maxNameservers]
		w = append(w, Warning{"DNSConfigForming", "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: " + strings.Join(d.Servers, " ")})
	}
	full := len(d.Searches)
	d.Searches = d.Searches[:min(full, maxSearchPaths)]
	for len(strings.Join(d.Searches, " ")) > maxSearchChars {
		d.Searches = d.Searches[:len(d.Searches)-1]
	}
	d.Searches = slices.DeleteFunc(d.Searches, func(s string) bool {
		return len(s) > validation.DNS1123SubdomainMaxLength
	})
	if len(d.Searches) < full {
		w = append(w, Warning{"DNSConfigForming", "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: " + strings.Join(d.Searches, " ")})
	}
	return w
}

// mergeOptions adds options by name; one given anew replaces the old.
func mergeOptions(have []string, add []corev1.PodDNSConfigOption) []string {
	out := slices.Clone(have)
	for _, o := range add {
		s := o.Name
		if o.Value != nil && *o.Value != "" {
			s += ":" + *o.Value
		}
		i := slices.IndexFunc(out, func(h string) bool {
			name, _, _ := strings.Cut(h, ":")
			return name == o.Name
		})
		if i < 0 {
			out = append(out, s)
		} else {
			out[i] = s
		}
	}
	return out
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
