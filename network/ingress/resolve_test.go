package ingress

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"proa/network/edge"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	service := &v1.Service{Spec: v1.ServiceSpec{Ports: []v1.ServicePort{
		{Name: "web", Port: 80, Protocol: v1.ProtocolTCP}, {Name: "rpc", Port: 90, Protocol: v1.ProtocolTCP, AppProtocol: ptr.To("kubernetes.io/h2c")},
		{Name: "safe", Port: 443, AppProtocol: ptr.To("https")}, {Name: "dns", Port: 53, Protocol: v1.ProtocolUDP},
	}}}
	endpoint := func(address string, ready, serving, terminating bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
	}
	slice := func(port string, number int32, es ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{Endpoints: es, Ports: []discoveryv1.EndpointPort{{Name: &port, Port: &number}}}
	}
	for name, c := range map[string]struct {
		port    networkingv1.ServiceBackendPort
		service *v1.Service
		slices  []*discoveryv1.EndpointSlice
		want    string
		wrong   string
	}{
		"by number": {port: networkingv1.ServiceBackendPort{Number: 80}, service: service, slices: []*discoveryv1.EndpointSlice{
			slice("web", 8080, endpoint("10.0.0.2", true, true, false), endpoint("10.0.0.1", true, true, false), endpoint("10.0.0.3", false, false, false)),
			slice("web", 8081, endpoint("10.0.0.4", true, true, false)), slice("rpc", 9090, endpoint("10.0.0.1", true, true, false)),
		}, want: "{0 [10.0.0.1:8080 10.0.0.2:8080 10.0.0.4:8081]}"},
		"by name": {port: networkingv1.ServiceBackendPort{Name: "rpc"}, service: service, slices: []*discoveryv1.EndpointSlice{
			slice("rpc", 9090, discoveryv1.Endpoint{Addresses: []string{"fd00::1"}}, endpoint("fd00::1", true, true, false)),
		}, want: "{1 [[fd00::1]:9090]}"},
		"in TLS, and nobody ready": {port: networkingv1.ServiceBackendPort{Number: 443}, service: service, want: "{2 []}"},
		"those that end, while none is ready": {port: networkingv1.ServiceBackendPort{Number: 80}, service: service, slices: []*discoveryv1.EndpointSlice{
			slice("web", 80, endpoint("10.0.0.1", false, true, true), endpoint("10.0.0.2", false, false, true)),
		}, want: "{0 [10.0.0.1:80]}"},
		"addresses that lead into the node": {port: networkingv1.ServiceBackendPort{Number: 80}, service: service, slices: []*discoveryv1.EndpointSlice{
			slice("web", 80, endpoint("127.0.0.1", true, true, false), endpoint("169.254.169.254", true, true, false), endpoint("::ffff:127.0.0.1", true, true, false),
				endpoint("0.0.0.0", true, true, false), endpoint("ff02::1", true, true, false), endpoint("nonsense", true, true, false)),
		}, want: "{0 []}"},
		"no service":    {port: networkingv1.ServiceBackendPort{Number: 80}, want: "{0 []}", wrong: `there is no service "web"`},
		"no such port":  {port: networkingv1.ServiceBackendPort{Number: 81}, service: service, want: "{0 []}", wrong: `service "web" has no such TCP port: default/web:81`},
		"a port of UDP": {port: networkingv1.ServiceBackendPort{Number: 53}, service: service, want: "{0 []}", wrong: `service "web" has no such TCP port: default/web:53`},
		"an external name": {port: networkingv1.ServiceBackendPort{Number: 80}, service: &v1.Service{Spec: v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "localhost"}},
			want: "{0 []}", wrong: `service "web" is an external name, which is not followed`},
	} {
		got, wrong := resolve(ref{types.NamespacedName{Namespace: "default", Name: "web"}, c.port}, c.service, c.slices)
		if text := fmt.Sprint(got); text != c.want || wrong != c.wrong {
			t.Errorf("%s: %s %q, want %s %q", name, text, wrong, c.want, c.wrong)
		}
	}
	if protocolOf("kubernetes.io/ws") != edge.HTTP || protocolOf("kubernetes.io/wss") != edge.HTTPS || protocolOf("grpc") != edge.H2C {
		t.Error("protocols")
	}
}

func TestHolder(t *testing.T) {
	t.Parallel()
	node := &v1.Node{Status: v1.NodeStatus{Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "192.0.2.1"}}}}
	balanced := func(kind v1.ServiceType, ip string, port int32) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}, Spec: v1.ServiceSpec{Type: kind, Ports: []v1.ServicePort{{Port: port, Protocol: v1.ProtocolTCP}}},
			Status: v1.ServiceStatus{LoadBalancer: v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{{IP: ip}}}}}
	}
	for _, c := range []struct {
		service *v1.Service
		held    bool
	}{
		{balanced(v1.ServiceTypeLoadBalancer, "192.0.2.1", 80), true},
		{balanced(v1.ServiceTypeLoadBalancer, "192.0.2.1", 81), false},
		{balanced(v1.ServiceTypeLoadBalancer, "192.0.2.2", 80), false},
		{balanced(v1.ServiceTypeClusterIP, "192.0.2.1", 80), false},
	} {
		if got := holder([]*v1.Service{c.service}, node, 80); (got != "") != c.held {
			t.Errorf("%v: %q", c.service, got)
		}
	}
}
