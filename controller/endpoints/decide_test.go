package endpoints

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(name, ip string, ready bool, ports ...v1.ContainerPort) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	p.Spec.Containers = []v1.Container{{Ports: ports}}
	p.Status.Phase = v1.PodRunning
	p.Status.PodIPs = []v1.PodIP{{IP: ip}}
	if ready {
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
	}
	return p
}

func service(ports ...v1.ServicePort) *v1.Service {
	return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}, Spec: v1.ServiceSpec{Ports: ports, Selector: map[string]string{"a": "b"}}}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	named := service(v1.ServicePort{Name: "web", Port: 80, TargetPort: intstr.FromString("http"), Protocol: v1.ProtocolTCP})
	on := func(n int32) v1.ContainerPort {
		return v1.ContainerPort{Name: "http", ContainerPort: n, Protocol: v1.ProtocolTCP}
	}
	finished := pod("finished", "10.0.0.9", true, on(80))
	finished.Status.Phase = v1.PodSucceeded
	subsets, truncated := decide(named, []*v1.Pod{
		pod("b", "10.0.0.2", true, on(8080)), pod("a", "10.0.0.1", true, on(8080)), pod("c", "10.0.0.3", false, on(8080)),
		pod("other", "10.0.0.4", true, on(9090)), pod("without", "10.0.0.5", true), pod("six", "fd00::1", true, on(8080)), finished,
	})
	got := ""
	for _, s := range subsets {
		got += fmt.Sprintf("%d:", s.Ports[0].Port)
		for _, a := range s.Addresses {
			got += " " + a.TargetRef.Name
		}
		for _, a := range s.NotReadyAddresses {
			got += " !" + a.TargetRef.Name
		}
		got += ";"
	}
	if want := "8080: a b !c;9090: other;"; got != want || truncated {
		t.Errorf("got %q (truncated %v), want %q", got, truncated, want)
	}
}

func TestDecideKeepsToTheLimit(t *testing.T) {
	t.Parallel()
	svc := service(v1.ServicePort{Port: 80, Protocol: v1.ProtocolTCP})
	var pods []*v1.Pod
	for i := range maxAddresses + 5 {
		pods = append(pods, pod(fmt.Sprint(i), fmt.Sprintf("10.0.%d.%d", i/250, i%250), i != 0))
	}
	subsets, truncated := decide(svc, pods)
	if len(subsets) != 1 || len(subsets[0].Addresses) != maxAddresses || len(subsets[0].NotReadyAddresses) != 0 || !truncated {
		t.Errorf("%d subsets, truncated %v", len(subsets), truncated)
	}
}
