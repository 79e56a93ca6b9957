package admit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"proa/node/pod"
)

// Rejection is why a pod may not run here.
type Rejection struct{ Reason, Message string }

// Node is what a pod is checked against.
type Node struct {
	// Object is the newest Node object, or what it would be before it is
	// registered: name, labels, taints and allocatable resources count.
	Object *v1.Node
	// Pressure is which resources run out.
	MemoryPressure, DiskPressure, PIDPressure bool
	// AllowedUnsafeSysctls are sysctls pods may set besides the safe ones; a
	// trailing * matches any rest.
	AllowedUnsafeSysctls []string
}

// Check returns nil if the pod may run beside the others, the pods already
// accepted that have not ended.
func Check(n Node, p *v1.Pod, others []*v1.Pod) *Rejection {
	for _, check := range []func(Node, *v1.Pod, []*v1.Pod) *Rejection{
		pressure, sysctls, operatingSystem, resources, nodeName, affinity, ports, taints,
	} {
		if r := check(n, p, others); r != nil {
			return r
		}
	}
	return nil
}

// IsCritical reports whether a pod must run whatever it costs others: static and
// mirror pods, and those of the system priorities.
func IsCritical(p *v1.Pod) bool {
	return pod.IsStatic(p) || pod.IsMirror(p) || (p.Spec.Priority != nil && *p.Spec.Priority >= systemCritical)
}

// systemCritical is the lowest priority reserved to the system.
const systemCritical = 2_000_000_000

// pressure keeps pods off a node that runs out of something.
func pressure(n Node, p *v1.Pod, _ []*v1.Pod) *Rejection {
	if !n.MemoryPressure && !n.DiskPressure && !n.PIDPressure || IsCritical(p) {
		return nil
	}
	if n.MemoryPressure && !n.DiskPressure && !n.PIDPressure {
		// Pods that promised how much they use may still come, and so may those
		// that tolerate the pressure.
		if hasRequests(p) || tolerates(p, v1.TaintNodeMemoryPressure) {
			return nil
		}
	}
	var conditions []string
	for _, c := range []struct {
		on   bool
		name v1.NodeConditionType
	}{{n.MemoryPressure, v1.NodeMemoryPressure}, {n.DiskPressure, v1.NodeDiskPressure}, {n.PIDPressure, v1.NodePIDPressure}} {
		if c.on {
			conditions = append(conditions, string(c.name))
		}
	}
	return &Rejection{"Evicted", fmt.Sprintf("The node had condition: %v. ", conditions)}
}

// hasRequests reports whether the pod is not of the BestEffort class.
func hasRequests(p *v1.Pod) bool {
	some := func(r v1.ResourceRequirements) bool {
		for _, list := range []v1.ResourceList{r.Requests, r.Limits} {
			for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
				if q, ok := list[name]; ok && !q.IsZero() {
					return true
				}
			}
		}
		return false
	}
	if p.Spec.Resources != nil && some(*p.Spec.Resources) {
		return true
	}
	return slices.ContainsFunc(p.Spec.Containers, func(c v1.Container) bool { return some(c.Resources) }) ||
		slices.ContainsFunc(p.Spec.InitContainers, func(c v1.Container) bool { return some(c.Resources) })
}

func tolerates(p *v1.Pod, taint string) bool {
	return corev1helpers.TolerationsTolerateTaint(klog.Background(), p.Spec.Tolerations, &v1.Taint{Key: taint, Effect: v1.TaintEffectNoSchedule}, false)
}

// safeSysctls are namespaced and isolated well enough for every pod.
var safeSysctls = []string{
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
}

// sysctls refuses kernel settings that reach beyond the pod.
func sysctls(n Node, p *v1.Pod, _ []*v1.Pod) *Rejection {
	if p.Spec.SecurityContext == nil {
		return nil
	}
	for _, s := range p.Spec.SecurityContext.Sysctls {
		name := strings.ReplaceAll(s.Name, "/", ".")
		allowed := slices.Contains(safeSysctls, name) || slices.ContainsFunc(n.AllowedUnsafeSysctls, func(a string) bool {
			if prefix, ok := strings.CutSuffix(a, "*"); ok {
				return strings.HasPrefix(name, prefix)
			}
			return a == name
		})
		if !allowed {
			return &Rejection{"SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q not allowlisted", s.Name)}
		}
		if p.Spec.HostNetwork && strings.HasPrefix(name, "net.") {
			return &Rejection{"SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q not allowed with host net enabled", s.Name)}
		}
		if p.Spec.HostIPC && (strings.HasPrefix(name, "kernel.shm") || strings.HasPrefix(name, "kernel.msg") || name == "kernel.sem" || strings.HasPrefix(name, "fs.mqueue.")) {
			return &Rejection{"SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q not allowed with host ipc enabled", s.Name)}
		}
	}
	return nil
}

// operatingSystem refuses pods made for another system.
func operatingSystem(n Node, p *v1.Pod, _ []*v1.Pod) *Rejection {
	nodeOS := cmp.Or(n.Object.Labels[v1.LabelOSStable], "linux")
	if want, ok := p.Labels[v1.LabelOSStable]; ok && want != nodeOS {
		return &Rejection{"PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"}
	}
	if p.Spec.OS != nil && string(p.Spec.OS.Name) != nodeOS {
		return &Rejection{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}
	}
	return nil
}

// resources checks that what the pod requests is left.
func resources(n Node, p *v1.Pod, others []*v1.Pod) *Rejection {
	used := v1.ResourceList{}
	for _, o := range others {
		for name, q := range resourcehelper.PodRequests(o, resourcehelper.PodResourcesOptions{}) {
			sum := used[name]
			sum.Add(q)
			used[name] = sum
		}
	}
	type lack struct {
		name                      v1.ResourceName
		requested, used, capacity int64
	}
	var lacks []lack
	if total, ok := n.Object.Status.Allocatable[v1.ResourcePods]; ok && int64(len(others))+1 > total.Value() {
		lacks = append(lacks, lack{v1.ResourcePods, 1, int64(len(others)), total.Value()})
	}
	requests := resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})
	names := make([]v1.ResourceName, 0, len(requests))
	for name := range requests {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b v1.ResourceName) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, name := range names {
		total, known := n.Object.Status.Allocatable[name]
		if !known && strings.Contains(string(name), "/") {
			// A resource of a plugin this node does not have may be one that
			// the cluster, not the node, keeps account of.
			continue
		}
		q, u := requests[name], used[name]
		if q.IsZero() {
			continue
		}
		sum := u.DeepCopy()
		sum.Add(q)
		if sum.Cmp(total) > 0 {
			value := func(x interface {
				Value() int64
				MilliValue() int64
			}) int64 {
				if name == v1.ResourceCPU {
					return x.MilliValue()
				}
				return x.Value()
			}
			lacks = append(lacks, lack{name, value(&q), value(&u), value(&total)})
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	l := lacks[0]
	return &Rejection{
		"OutOf" + string(l.name),
		fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", l.name, l.requested, l.used, l.capacity),
	}
}

// rank orders resources as they are checked.
func rank(name v1.ResourceName) int {
	switch name {
	case v1.ResourceCPU:
		return 0
	case v1.ResourceMemory:
		return 1
	case v1.ResourceEphemeralStorage:
		return 2
	}
	return 3
}

func predicate(name, why string) *Rejection {
	return &Rejection{name, fmt.Sprintf("Predicate %s failed: %s", name, why)}
}

func nodeName(n Node, p *v1.Pod, _ []*v1.Pod) *Rejection {
	if p.Spec.NodeName != "" && p.Spec.NodeName != n.Object.Name {
		return predicate("NodeName", "node(s) didn't match the requested node name")
	}
	return nil
}

// affinity checks node selector and required node affinity.
func affinity(n Node, p *v1.Pod, _ []*v1.Pod) *Rejection {
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n.Object); err != nil || !ok {
		return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
	}
	return nil
}

// ports checks that the host ports the pod asks for are free.
func ports(_ Node, p *v1.Pod, others []*v1.Pod) *Rejection {
	wanted := hostPorts(p)
	if len(wanted) == 0 {
		return nil
	}
	for _, o := range others {
		for _, taken := range hostPorts(o) {
			for _, w := range wanted {
				if w.clashes(taken) {
					return predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
				}
			}
		}
	}
	return nil
}

type hostPort struct {
	ip       string
	protocol v1.Protocol
	port     int32
}

func (a hostPort) clashes(b hostPort) bool {
	const any4, any6 = "0.0.0.0", "::"
	return a.port == b.port && a.protocol == b.protocol &&
		(a.ip == b.ip || a.ip == any4 || b.ip == any4 || a.ip == any6 || b.ip == any6)
}

func hostPorts(p *v1.Pod) []hostPort {
	var out []hostPort
	add := func(c *v1.Container) {
		for _, port := range c.Ports {
			if port.HostPort > 0 {
				out = append(out, hostPort{cmp.Or(port.HostIP, "0.0.0.0"), cmp.Or(port.Protocol, v1.ProtocolTCP), port.HostPort})
			}
		}
	}
	for i := range p.Spec.Containers {
		add(&p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; pod.IsSidecar(c) {
			add(c)
		}
	}
	return out
}

// taints refuses a pod that the node would evict again. Static pods are the
// node's own and exempt.
func taints(n Node, p *v1.Pod, _ []*v1.Pod) *Rejection {
	if pod.IsStatic(p) {
		return nil
	}
	_, found := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), n.Object.Spec.Taints, p.Spec.Tolerations,
		func(t *v1.Taint) bool { return t.Effect == v1.TaintEffectNoExecute }, false)
	if found {
		return predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
	}
	return nil
}
