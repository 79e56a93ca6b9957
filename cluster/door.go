package cluster

import (
	"context"
	"fmt"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"proa/network/dns"
)

// Two services have no pods behind them, so that no controller writes their
// endpoints: "kubernetes", by which pods reach the API server, and "kube-dns",
// which every node serves itself.

// ensureDoor publishes the address of this API server.
func ensureDoor(ctx context.Context, c kubernetes.Interface, serviceIP string, at netip.AddrPort) error {
	meta := metav1.ObjectMeta{
		Name: "kubernetes", Namespace: metav1.NamespaceDefault,
		Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"},
	}
	ports := []v1.ServicePort{{Name: "https", Protocol: v1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(int32(at.Port()))}}
	if err := publish(ctx, c, meta, serviceIP, at.Addr(), ports); err != nil {
		return fmt.Errorf("publish the API server as a service: %w", err)
	}
	return nil
}

// ensureDNS publishes the cluster's DNS address. Its endpoint is the address
// itself, which each node has.
func ensureDNS(ctx context.Context, c kubernetes.Interface, ip string) error {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return fmt.Errorf("network.clusterDNS: %w", err)
	}
	meta := metav1.ObjectMeta{
		Name: "kube-dns", Namespace: metav1.NamespaceSystem,
		Labels: map[string]string{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "Proa"},
	}
	ports := []v1.ServicePort{
		{Name: "dns", Protocol: v1.ProtocolUDP, Port: dnsPort, TargetPort: intstr.FromInt32(dnsPort)},
		{Name: "dns-tcp", Protocol: v1.ProtocolTCP, Port: dnsPort, TargetPort: intstr.FromInt32(dnsPort)},
	}
	if err := publish(ctx, c, meta, ip, address, ports); err != nil {
		return fmt.Errorf("publish the cluster's DNS as a service: %w", err)
	}
	return nil
}

// ensureCorefile makes the ConfigMap that says how names are answered. What users
// have made of it stays.
func ensureCorefile(ctx context.Context, c kubernetes.Interface, domain string) error {
	maps := c.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	_, err := maps.Get(ctx, dns.ConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, &v1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: dns.ConfigMap},
			Data:       map[string]string{dns.CorefileKey: dns.DefaultCorefile(domain)},
		}, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the ConfigMap %s: %w", dns.ConfigMap, err)
	}
	return nil
}

// publish makes a service with a fixed cluster IP and one endpoint, or brings
// what is there to that.
func publish(ctx context.Context, c kubernetes.Interface, meta metav1.ObjectMeta, ip string, at netip.Addr, ports []v1.ServicePort) error {
	if err := publishService(ctx, c, meta, ip, ports); err != nil {
		return err
	}
	if err := publishEndpoints(ctx, c, meta, at, ports); err != nil {
		return err
	}
	return publishSlice(ctx, c, meta, at, ports)
}

func publishService(ctx context.Context, c kubernetes.Interface, meta metav1.ObjectMeta, ip string, ports []v1.ServicePort) error {
	want := &v1.Service{
		ObjectMeta: meta,
		Spec:       v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, ClusterIP: ip, SessionAffinity: v1.ServiceAffinityNone, Ports: ports},
	}
	services := c.CoreV1().Services(want.Namespace)
	have, err := services.Get(ctx, meta.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = services.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || equality.Semantic.DeepEqual(have.Spec.Ports, want.Spec.Ports) {
		return err
	}
	have = have.DeepCopy()
	have.Spec.Ports = want.Spec.Ports
	_, err = services.Update(ctx, have, metav1.UpdateOptions{})
	return err
}

// publishEndpoints serves clients that know nothing newer.
func publishEndpoints(ctx context.Context, c kubernetes.Interface, meta metav1.ObjectMeta, at netip.Addr, ports []v1.ServicePort) error {
	meta.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"}
	subset := v1.EndpointSubset{Addresses: []v1.EndpointAddress{{IP: at.String()}}} //nolint:staticcheck // clients use it still
	for _, p := range ports {
		subset.Ports = append(subset.Ports, v1.EndpointPort{Name: p.Name, Port: p.TargetPort.IntVal, Protocol: p.Protocol}) //nolint:staticcheck // as above
	}
	want := &v1.Endpoints{ObjectMeta: meta, Subsets: []v1.EndpointSubset{subset}} //nolint:staticcheck // as above
	endpoints := c.CoreV1().Endpoints(want.Namespace)
	have, err := endpoints.Get(ctx, meta.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = endpoints.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || equality.Semantic.DeepEqual(have.Subsets, want.Subsets) {
		return err
	}
	have = have.DeepCopy()
	have.Subsets, have.Labels = want.Subsets, want.Labels
	_, err = endpoints.Update(ctx, have, metav1.UpdateOptions{})
	return err
}

func publishSlice(ctx context.Context, c kubernetes.Interface, meta metav1.ObjectMeta, at netip.Addr, ports []v1.ServicePort) error {
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: meta.Name}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{at.String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
		}},
	}
	if at.Is6() {
		want.AddressType = discoveryv1.AddressTypeIPv6
	}
	for _, p := range ports {
		want.Ports = append(want.Ports, discoveryv1.EndpointPort{Name: ptr.To(p.Name), Protocol: ptr.To(p.Protocol), Port: ptr.To(p.TargetPort.IntVal)})
	}
	slices := c.DiscoveryV1().EndpointSlices(want.Namespace)
	have, err := slices.Get(ctx, meta.Name, metav1.GetOptions{})
	if err == nil && have.AddressType != want.AddressType { // which cannot change
		err = slices.Delete(ctx, meta.Name, metav1.DeleteOptions{})
		if err == nil {
			_, err = slices.Create(ctx, want, metav1.CreateOptions{})
		}
		return err
	}
	if apierrors.IsNotFound(err) {
		_, err = slices.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports) {
		return err
	}
	have = have.DeepCopy()
	have.Endpoints, have.Ports, have.Labels = want.Endpoints, want.Ports, want.Labels
	_, err = slices.Update(ctx, have, metav1.UpdateOptions{})
	return err
}
