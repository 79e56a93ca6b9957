package loadbalancer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"proa/controller"
	"proa/network/ingress"
)

func node(name, address string, change ...func(*v1.Node)) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	n.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeHostName, Address: name}, {Type: v1.NodeInternalIP, Address: address}}
	n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	for _, f := range change {
		f(n)
	}
	return n
}

func label(k, v string) func(*v1.Node) { return func(n *v1.Node) { n.Labels[k] = v } }

// service asks for ports; the later letter of the alphabet is the younger one.
func service(name string, change func(*v1.Service), ports ...int32) *v1.Service {
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(name[0]), 0))}}
	s.Spec.Type, s.Spec.IPFamilies = v1.ServiceTypeLoadBalancer, []v1.IPFamily{v1.IPv4Protocol}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Protocol: v1.ProtocolTCP, Port: p})
	}
	if change != nil {
		change(s)
	}
	return s
}

func local(s *v1.Service) { s.Spec.ExternalTrafficPolicy = v1.ServiceExternalTrafficPolicyLocal }

func show(o outcome) string {
	if o.lacks != "" {
		return "lacks: " + o.lacks
	}
	var out []string
	for _, in := range o.ingress {
		out = append(out, in.IP)
	}
	return strings.Join(out, " ")
}

func TestDecide(t *testing.T) {
	t.Parallel()
	three := []*v1.Node{node("n3", "10.0.0.3"), node("n1", "10.0.0.1"), node("n2", "10.0.0.2")}
	const taken = "lacks: on every node, a port of the service (%s) belongs to another service or to the node itself; choose other ports"
	for name, c := range map[string]struct {
		services []*v1.Service
		nodes    []*v1.Node
		on       []string // nodes with a ready pod of every service
		want     map[string]string
	}{
		"every node": {services: []*v1.Service{service("a", nil, 80, 443)}, nodes: three, want: map[string]string{"a": "10.0.0.1 10.0.0.2 10.0.0.3"}},
		"who asked first has the port": {
			services: []*v1.Service{service("b", nil, 443, 80), service("a", nil, 80), service("c", nil, 81)}, nodes: three[:1],
			want: map[string]string{"a": "10.0.0.3", "b": fmt.Sprintf(taken, "443/TCP, 80/TCP"), "c": "10.0.0.3"},
		},
		"who has it keeps it": {
			services: []*v1.Service{service("b", func(s *v1.Service) {
				s.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: "10.0.0.3"}}
			}, 80), service("a", nil, 80)}, nodes: three[:1],
			want: map[string]string{"b": "10.0.0.3", "a": fmt.Sprintf(taken, "80/TCP")},
		},
		"the node's own ports": {
			services: []*v1.Service{service("a", nil, 6443), service("b", nil, 10250)}, nodes: three,
			want: map[string]string{"a": fmt.Sprintf(taken, "6443/TCP"), "b": fmt.Sprintf(taken, "10250/TCP")},
		},
		"the ports on which a node serves Ingresses": {
			services: []*v1.Service{service("a", nil, 443), service("b", nil, 8443)},
			nodes: []*v1.Node{node("n1", "10.0.0.1", func(n *v1.Node) {
				n.Annotations = map[string]string{ingress.Announcement: "80,443"}
			}), node("n2", "10.0.0.2")},
			want: map[string]string{"a": "10.0.0.2", "b": "10.0.0.1 10.0.0.2"},
		},
		"nodes that are not ready, excluded or leaving": {
			services: []*v1.Service{service("a", nil, 80)},
			nodes: []*v1.Node{
				node("n1", "10.0.0.1", func(n *v1.Node) { n.Status.Conditions[0].Status = v1.ConditionUnknown }),
				node("n2", "10.0.0.2", label(v1.LabelNodeExcludeBalancers, "")),
				node("n3", "10.0.0.3", func(n *v1.Node) { now := metav1.Now(); n.DeletionTimestamp = &now }),
			},
			want: map[string]string{"a": "lacks: no node is ready that has an address of the service's families and is not excluded from load balancing"},
		},
		"chosen nodes only": {
			services: []*v1.Service{service("a", nil, 80)},
			nodes:    append([]*v1.Node{node("n9", "10.0.0.9", label(NodeLabel, "true"))}, append(three, node("n8", "10.0.0.8", label(NodeLabel, "false")))...),
			want:     map[string]string{"a": "10.0.0.9"},
		},
		"external addresses come first": {
			services: []*v1.Service{service("a", nil, 80)},
			nodes: []*v1.Node{node("n1", "10.0.0.1", func(n *v1.Node) {
				n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeExternalIP, Address: "192.0.2.1"})
			})},
			want: map[string]string{"a": "192.0.2.1"},
		},
		"the families of the service": {
			services: []*v1.Service{service("a", func(s *v1.Service) { s.Spec.IPFamilies = []v1.IPFamily{v1.IPv6Protocol} }, 80)},
			nodes:    []*v1.Node{node("n1", "10.0.0.1"), node("n2", "fd00::2")}, want: map[string]string{"a": "fd00::2"},
		},
		"where its pods are": {
			services: []*v1.Service{service("a", local, 80), service("b", nil, 80)}, nodes: three, on: []string{"n2"},
			want: map[string]string{"a": "10.0.0.2", "b": "10.0.0.1 10.0.0.3"},
		},
		"where no pod is": {
			services: []*v1.Service{service("a", local, 80)}, nodes: three,
			want: map[string]string{"a": "lacks: no node of use runs a ready pod of the service, as externalTrafficPolicy Local requires"},
		},
		"the address that it asks for": {
			services: []*v1.Service{
				service("a", func(s *v1.Service) { s.Spec.LoadBalancerIP = "10.0.0.2" }, 80),
				service("b", func(s *v1.Service) { s.Spec.LoadBalancerIP = "10.9.9.9" }, 81),
			}, nodes: three,
			want: map[string]string{"a": "10.0.0.2", "b": "lacks: no node of use has the address 10.9.9.9 that spec.loadBalancerIP asks for"},
		},
		"another's class, and another type": {
			services: []*v1.Service{
				service("a", func(s *v1.Service) { s.Spec.LoadBalancerClass = ptr.To("example.com/other") }, 80),
				service("b", func(s *v1.Service) { s.Spec.Type = v1.ServiceTypeNodePort }, 80),
				service("c", func(s *v1.Service) { s.Spec.LoadBalancerClass = ptr.To(Class) }, 80),
			}, nodes: three[:1], want: map[string]string{"c": "10.0.0.3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoints := map[controller.Key][]*discoveryv1.EndpointSlice{}
			for _, s := range c.services {
				for _, n := range c.on {
					key := controller.Key{Namespace: "default", Name: s.Name}
					endpoints[key] = append(endpoints[key], &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{NodeName: &n}}})
				}
			}
			got := decide(c.services, c.nodes, endpoints, []int32{6443})
			if len(got) != len(c.want) {
				t.Errorf("%d services are served, want %d", len(got), len(c.want))
			}
			for name, want := range c.want {
				if is := show(got[controller.Key{Namespace: "default", Name: name}]); is != want {
					t.Errorf("%s: %s\nwant %s", name, is, want)
				}
			}
		})
	}
}

// TestNoPlaceTwice: whatever is asked for, a port of an address has one service, and
// deciding again from what was written changes nothing.
func TestNoPlaceTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var nodes []*v1.Node
		for i := range rapid.IntRange(0, 4).Draw(t, "nodes") {
			nodes = append(nodes, node(fmt.Sprint("n", i), fmt.Sprint("10.0.0.", i+1)))
		}
		var services []*v1.Service
		for i := range rapid.IntRange(0, 6).Draw(t, "services") {
			services = append(services, service(string(rune('a'+i)), nil, rapid.SliceOfNDistinct(rapid.Int32Range(80, 84), 1, 3, rapid.ID).Draw(t, "ports")...))
		}
		first := decide(services, nodes, nil, nil)
		has := map[string]string{}
		for _, s := range services {
			o := first[controller.Key{Namespace: "default", Name: s.Name}]
			if (len(o.ingress) == 0) != (o.lacks != "") {
				t.Fatalf("%s has %v and lacks %q", s.Name, o.ingress, o.lacks)
			}
			for _, in := range o.ingress {
				for _, p := range s.Spec.Ports {
					at := fmt.Sprint(in.IP, ":", p.Port)
					if has[at] != "" {
						t.Fatalf("%s has %s, and so has %s", s.Name, at, has[at])
					}
					has[at] = s.Name
				}
			}
			s.Status.LoadBalancer.Ingress = o.ingress
		}
		for key, o := range decide(services, nodes, nil, nil) {
			if show(o) != show(first[key]) {
				t.Fatalf("%s: first %s, then %s", key, show(first[key]), show(o))
			}
		}
	})
}
