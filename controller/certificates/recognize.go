package certificates

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
)

// kind of a request that may be approved without a person.
type kind int

const (
	// unknown requests wait for a person.
	unknown kind = iota
	// selfNodeClient: a node renews its client certificate.
	selfNodeClient
	// nodeClient: somebody asks for the client certificate of a node.
	nodeClient
	// nodeServing: a node asks for its own serving certificate.
	nodeServing
)

// permission is what the requester of a client certificate must be allowed to
// create.
func (k kind) permission() string {
	if k == selfNodeClient {
		return "selfnodeclient"
	}
	return "nodeclient"
}

func (k kind) message() string {
	switch k {
	case selfNodeClient:
		return "Auto approving self kubelet client certificate after SubjectAccessReview."
	case nodeClient:
		return "Auto approving kubelet client certificate after SubjectAccessReview."
	}
	return "Auto approving the kubelet's serving certificate for the addresses of its node."
}

// recognize says what a request may be approved as, in the order to try.
func recognize(r *request, c *x509.CertificateRequest) []kind {
	switch r.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		if checkNodeClient(c, r.Spec.Usages) != nil {
			return nil
		}
		if r.Spec.Username == c.Subject.CommonName {
			return []kind{selfNodeClient, nodeClient}
		}
		return []kind{nodeClient}
	case certificatesv1.KubeletServingSignerName:
		if checkNodeServing(c, r.Spec.Usages) != nil ||
			r.Spec.Username != c.Subject.CommonName || !slices.Contains(r.Spec.Groups, nodeGroup) {
			return nil
		}
		return []kind{nodeServing}
	}
	return nil
}

// nodeOf is the node that a certificate is for.
func nodeOf(c *x509.CertificateRequest) string {
	return strings.TrimPrefix(c.Subject.CommonName, nodePrefix)
}

// ownAddresses reports whether a serving certificate is for the node's name and
// addresses only, and for none that others have too. others are all nodes, and
// may include the node itself; reserved are addresses that no node serves at.
func ownAddresses(c *x509.CertificateRequest, node *v1.Node, others []*v1.Node, reserved []string) bool {
	for _, name := range c.DNSNames {
		if name != node.Name {
			return false
		}
	}
	own := addressesOf(node)
	for _, ip := range c.IPAddresses {
		if !usable(ip) || !has(own, ip) || slices.ContainsFunc(reserved, func(s string) bool { return ip.Equal(net.ParseIP(s)) }) {
			return false
		}
		for _, o := range others {
			if o.Name != node.Name && has(addressesOf(o), ip) {
				return false
			}
		}
	}
	return true
}

func usable(ip net.IP) bool {
	return !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast()
}

func has(list []net.IP, ip net.IP) bool { return slices.ContainsFunc(list, ip.Equal) }

func addressesOf(n *v1.Node) []net.IP {
	var out []net.IP
	for _, a := range n.Status.Addresses {
		if a.Type != v1.NodeInternalIP && a.Type != v1.NodeExternalIP {
			continue
		}
		if ip := net.ParseIP(a.Address); ip != nil {
			out = append(out, ip)
		}
	}
	return out
}
