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
)

// The API server's own door: the Service "kubernetes" in the namespace default,
// by which pods reach it, with its endpoints. No controller writes them, for the
// service has no selector.

// doorName is that of the service and of all that belongs to it.
const doorName = "kubernetes"

// ensureDoor publishes the address of this API server.
func ensureDoor(ctx context.Context, c kubernetes.Interface, serviceIP string, at netip.AddrPort) error {
	if err := ensureDoorService(ctx, c, serviceIP, at.Port()); err != nil {
		return fmt.Errorf("publish the API server as a service: %w", err)
	}
	if err := ensureDoorEndpoints(ctx, c, at); err != nil {
		return fmt.Errorf("publish the address of the API server: %w", err)
	}
	if err := ensureDoorSlice(ctx, c, at); err != nil {
		return fmt.Errorf("publish the address of the API server: %w", err)
	}
	return nil
}

func doorMeta(more map[string]string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: doorName, Namespace: metav1.NamespaceDefault, Labels: map[string]string{}}
	for k, v := range more {
		m.Labels[k] = v
	}
	return m
}

func ensureDoorService(ctx context.Context, c kubernetes.Interface, ip string, port uint16) error {
	want := &v1.Service{
		ObjectMeta: doorMeta(map[string]string{"component": "apiserver", "provider": "kubernetes"}),
		Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeClusterIP, ClusterIP: ip, SessionAffinity: v1.ServiceAffinityNone,
			Ports: []v1.ServicePort{{Name: "https", Protocol: v1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(int32(port))}},
		},
	}
	services := c.CoreV1().Services(want.Namespace)
	have, err := services.Get(ctx, doorName, metav1.GetOptions{})
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

// ensureDoorEndpoints serves clients that know nothing newer.
func ensureDoorEndpoints(ctx context.Context, c kubernetes.Interface, at netip.AddrPort) error {
	want := &v1.Endpoints{ //nolint:staticcheck // clients use it still
		ObjectMeta: doorMeta(map[string]string{discoveryv1.LabelSkipMirror: "true"}),
		Subsets: []v1.EndpointSubset{{ //nolint:staticcheck // as above
			Addresses: []v1.EndpointAddress{{IP: at.Addr().String()}},                                       //nolint:staticcheck // as above
			Ports:     []v1.EndpointPort{{Name: "https", Port: int32(at.Port()), Protocol: v1.ProtocolTCP}}, //nolint:staticcheck // as above
		}},
	}
	endpoints := c.CoreV1().Endpoints(want.Namespace)
	have, err := endpoints.Get(ctx, doorName, metav1.GetOptions{})
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

func ensureDoorSlice(ctx context.Context, c kubernetes.Interface, at netip.AddrPort) error {
	family := discoveryv1.AddressTypeIPv4
	if at.Addr().Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  doorMeta(map[string]string{discoveryv1.LabelServiceName: doorName}),
		AddressType: family,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{at.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Protocol: ptr.To(v1.ProtocolTCP), Port: ptr.To(int32(at.Port()))}},
	}
	slices := c.DiscoveryV1().EndpointSlices(want.Namespace)
	have, err := slices.Get(ctx, doorName, metav1.GetOptions{})
	if err == nil && have.AddressType != want.AddressType { // which cannot change
		err = slices.Delete(ctx, doorName, metav1.DeleteOptions{})
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
