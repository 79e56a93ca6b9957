package servicepods

import (
	"fmt"
	"reflect"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

func TestTargetPort(t *testing.T) {
	t.Parallel()
	p := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{
			{Ports: []v1.ContainerPort{{Name: "init", ContainerPort: 1}}},
			{RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways), Ports: []v1.ContainerPort{{Name: "side", ContainerPort: 2}, {Name: "web", ContainerPort: 3}}},
		},
		Containers: []v1.Container{{Ports: []v1.ContainerPort{
			{Name: "dns", ContainerPort: 53, Protocol: v1.ProtocolUDP}, {Name: "web", ContainerPort: 8080, Protocol: v1.ProtocolTCP},
		}}},
	}}
	for _, tt := range []struct {
		target   intstr.IntOrString
		protocol v1.Protocol
		want     int32
	}{
		{intstr.FromInt32(0), v1.ProtocolTCP, 80}, // unset: the service's own
		{intstr.FromInt32(99), v1.ProtocolTCP, 99},
		{intstr.FromString("web"), v1.ProtocolTCP, 8080}, // containers come before sidecars
		{intstr.FromString("web"), "", 8080},
		{intstr.FromString("side"), v1.ProtocolTCP, 2},
		{intstr.FromString("init"), v1.ProtocolTCP, 0}, // ended before the pod serves
		{intstr.FromString("dns"), v1.ProtocolTCP, 0},
		{intstr.FromString("dns"), v1.ProtocolUDP, 53},
		{intstr.FromString("none"), v1.ProtocolTCP, 0},
	} {
		got, ok := TargetPort(p, &v1.ServicePort{Port: 80, TargetPort: tt.target, Protocol: tt.protocol})
		if got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%v/%s: %d %v, want %d", &tt.target, tt.protocol, got, ok, tt.want)
		}
	}
}

func TestSelecting(t *testing.T) {
	t.Parallel()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for name, selector := range map[string]map[string]string{"one": {"a": "1"}, "two": {"a": "2"}, "none": nil} {
		for _, ns := range []string{"n", "other"} {
			if err := indexer.Add(&v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1.ServiceSpec{Selector: selector}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	services := corelisters.NewServiceLister(indexer)
	pod := func(label string, change func(*v1.Pod)) *v1.Pod {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", Labels: map[string]string{"a": label}}}
		change(p)
		return p
	}
	same := func(*v1.Pod) {}
	now := metav1.Now()
	for name, tt := range map[string]struct {
		old, pod *v1.Pod
		deleted  bool
		want     string
	}{
		"new":                {nil, pod("1", same), false, "[n/one]"},
		"selected by nobody": {nil, pod("3", same), false, "[]"},
		"the same":           {pod("1", same), pod("1", same), false, "[]"},
		"deleted":            {nil, pod("1", same), true, "[n/one]"},
		"terminating":        {pod("1", same), pod("1", func(p *v1.Pod) { p.DeletionTimestamp = &now }), false, "[n/one]"},
		"has an address":     {pod("1", same), pod("1", func(p *v1.Pod) { p.Status.PodIPs = []v1.PodIP{{IP: "10.0.0.1"}} }), false, "[n/one]"},
		"finished":           {pod("1", same), pod("1", func(p *v1.Pod) { p.Status.Phase = v1.PodFailed }), false, "[n/one]"},
		"only annotated":     {pod("1", same), pod("1", func(p *v1.Pod) { p.Annotations = map[string]string{"x": "y"} }), false, "[]"},
	} {
		if got := fmt.Sprint(Selecting(tt.old, tt.pod, tt.deleted, services)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if got := Selecting(pod("1", same), pod("2", same), false, services); len(got) != 2 {
		t.Errorf("moved from one to the other: %v", got)
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	svc := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s"}}
	for _, tt := range []struct{ namespace, hostname, subdomain, want string }{
		{"n", "h", "s", "h"}, {"n", "h", "", ""}, {"n", "", "s", ""}, {"n", "h", "other", ""}, {"other", "h", "s", ""},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: tt.namespace}, Spec: v1.PodSpec{Hostname: tt.hostname, Subdomain: tt.subdomain}}
		if got := Hostname(svc, p); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestRepack(t *testing.T) {
	t.Parallel()
	addresses := func(ips ...string) (out []v1.EndpointAddress) {
		for _, ip := range ips {
			out = append(out, v1.EndpointAddress{IP: ip})
		}
		return out
	}
	port := func(name string, n int32) v1.EndpointPort { return v1.EndpointPort{Name: name, Port: n} }
	for name, c := range map[string]struct{ given, want []v1.EndpointSubset }{
		"subsets of one set of addresses become one, and all is in order": {
			[]v1.EndpointSubset{
				{Addresses: addresses("10.0.0.10", "10.0.0.9"), Ports: []v1.EndpointPort{port("b", 81)}},
				{Addresses: addresses("10.0.0.9", "10.0.0.10"), Ports: []v1.EndpointPort{port("a", 80)}},
			},
			[]v1.EndpointSubset{{Addresses: addresses("10.0.0.9", "10.0.0.10"), Ports: []v1.EndpointPort{port("a", 80), port("b", 81)}}},
		},
		"ready anywhere is ready": {
			[]v1.EndpointSubset{
				{Addresses: addresses("10.0.0.1"), Ports: []v1.EndpointPort{port("", 80)}},
				{NotReadyAddresses: addresses("10.0.0.1", "10.0.0.2"), Ports: []v1.EndpointPort{port("", 80)}},
			},
			[]v1.EndpointSubset{{Addresses: addresses("10.0.0.1"), NotReadyAddresses: addresses("10.0.0.2"), Ports: []v1.EndpointPort{port("", 80)}}},
		},
		"a headless service may have no ports": {
			[]v1.EndpointSubset{{Addresses: addresses("10.0.0.1")}}, []v1.EndpointSubset{{Addresses: addresses("10.0.0.1")}},
		},
	} {
		if got := Repack(c.given); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
