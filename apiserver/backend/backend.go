// Package backend finds where a service listens, for what the API server calls
// by itself or on behalf of a client: proxies, webhooks.
//
// An address is taken from the API, parsed once, checked, and dialled as it is
// (CVE-2020-8562, CVE-2022-3294). What no node, pod or service of a cluster can
// have, but may lead to something of this machine, is refused (CVE-2020-8555).
package backend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Services reads services as the API has them now.
type Services interface {
	Service(ctx context.Context, namespace, name string) (*corev1.Service, error)
	EndpointSlices(ctx context.Context, namespace, service string) ([]*discoveryv1.EndpointSlice, error)
}

// Reachable parses an address and refuses those that no node, pod or service
// of a cluster can have, but that may lead to something of this machine.
func Reachable(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, apierrors.NewBadRequest(fmt.Sprintf("%q is not an IP address", s))
	}
	a = a.Unmap()
	if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsMulticast() || a.IsUnspecified() || a.Zone() != "" {
		return a, apierrors.NewBadRequest(fmt.Sprintf("address not allowed: %s", a))
	}
	return a, nil
}

// OfService returns the address of one ready endpoint of a service, chosen at
// random, or where the name leads that the service stands for. The port is the
// name or the number of one of the service; it may be empty for a service that
// has one only.
func OfService(ctx context.Context, services Services, namespace, name, port string) (netip.AddrPort, error) {
	var none netip.AddrPort
	svc, err := services.Service(ctx, namespace, name)
	if err != nil {
		return none, err
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return external(ctx, svc, port)
	}
	p, ok := servicePort(svc, port)
	if !ok {
		return none, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, name))
	}
	list, err := services.EndpointSlices(ctx, namespace, name)
	if err != nil {
		return none, err
	}
	ready := readyEndpoints(list, p.Name)
	if len(ready) == 0 {
		return none, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	e := ready[rand.IntN(len(ready))]
	a, err := Reachable(e.address)
	return netip.AddrPortFrom(a, e.port), err
}

func servicePort(svc *corev1.Service, port string) (corev1.ServicePort, bool) {
	if port == "" && len(svc.Spec.Ports) == 1 {
		return svc.Spec.Ports[0], true
	}
	for _, p := range svc.Spec.Ports {
		if p.Name == port && port != "" || strconv.Itoa(int(p.Port)) == port {
			return p, true
		}
	}
	return corev1.ServicePort{}, false
}

type endpoint struct {
	address string
	port    uint16
}

// readyEndpoints are the ready addresses that serve a named port.
func readyEndpoints(list []*discoveryv1.EndpointSlice, port string) []endpoint {
	var ready []endpoint
	for _, slice := range list {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port || p.Name == nil && port != "" {
				continue
			}
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				if len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
					ready = append(ready, endpoint{e.Addresses[0], uint16(*p.Port)})
				}
			}
		}
	}
	return ready
}

// external resolves the name that a service stands for, once.
func external(ctx context.Context, svc *corev1.Service, port string) (netip.AddrPort, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, svc.Name))
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", svc.Spec.ExternalName)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("service %q: %w", svc.Name, err)
	}
	a, err := Reachable(addrs[0].String())
	return netip.AddrPortFrom(a, uint16(n)), err
}
