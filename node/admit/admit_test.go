package admit_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/node/admit"
	"proa/node/pod"
)

func node() admit.Node {
	return admit.Node{Object: &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{v1.LabelOSStable: "linux", "disk": "ssd"}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("1Gi"), v1.ResourcePods: resource.MustParse("3"),
		}},
	}}
}

func newPod(cpu string, change ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1.PodSpec{NodeName: "n1", Containers: []v1.Container{{Name: "c"}}}}
	if cpu != "" {
		p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func port(p *v1.Pod) { p.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: 80}} }

func sysctl(name string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: name, Value: "1"}}}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tainted := node()
	tainted.Object.Spec.Taints = []v1.Taint{{Key: "k", Effect: v1.TaintEffectNoExecute}}
	low := node()
	low.MemoryPressure = true
	full := node()
	full.DiskPressure = true
	for _, tt := range []struct {
		name            string
		node            admit.Node
		pod             *v1.Pod
		others          []*v1.Pod
		reason, message string
	}{
		{name: "fits", node: node(), pod: newPod("1"), others: []*v1.Pod{newPod("1")}},
		{name: "cpu", node: node(), pod: newPod("1"), others: []*v1.Pod{newPod("1500m")}, reason: "OutOfcpu", message: "Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"},
		{name: "pods", node: node(), pod: newPod(""), others: []*v1.Pod{newPod(""), newPod(""), newPod("")}, reason: "OutOfpods", message: "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"},
		{name: "ports", node: node(), pod: newPod("", port), others: []*v1.Pod{newPod("", port)}, reason: "NodePorts", message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
		{name: "selector", node: node(), pod: newPod("", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "hdd"} }), reason: "NodeAffinity", message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"},
		{name: "name", node: node(), pod: newPod("", func(p *v1.Pod) { p.Spec.NodeName = "n2" }), reason: "NodeName", message: "Predicate NodeName failed: node(s) didn't match the requested node name"},
		{name: "system", node: node(), pod: newPod("", func(p *v1.Pod) { p.Spec.OS = &v1.PodOS{Name: v1.Windows} }), reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS"},
		{name: "taint", node: tainted, pod: newPod(""), reason: "TaintToleration", message: "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"},
		{name: "taint and static", node: tainted, pod: newPod("", func(p *v1.Pod) { p.Annotations = map[string]string{pod.SourceAnnotation: "file"} })},
		{name: "safe sysctl", node: node(), pod: newPod("", sysctl("net.ipv4.tcp_syncookies"))},
		{name: "unsafe sysctl", node: node(), pod: newPod("", sysctl("kernel.msgmax")), reason: "SysctlForbidden", message: `forbidden sysctl: "kernel.msgmax" not allowlisted`},
		{name: "memory pressure", node: low, pod: newPod(""), reason: "Evicted", message: "The node had condition: [MemoryPressure]. "},
		{name: "memory pressure and requests", node: low, pod: newPod("1")},
		{name: "disk pressure", node: full, pod: newPod("1"), reason: "Evicted", message: "The node had condition: [DiskPressure]. "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := admit.Check(tt.node, tt.pod, tt.others)
			if r == nil {
				r = &admit.Rejection{}
			}
			if r.Reason != tt.reason || r.Message != tt.message {
				t.Errorf("%s: %s\nwant %s: %s", r.Reason, r.Message, tt.reason, tt.message)
			}
		})
	}
}
