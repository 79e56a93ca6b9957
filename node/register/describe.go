package register

import (
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Config is how the node presents itself.
type Config struct {
	NodeName string
	// Labels and Taints are set when the node is registered.
	Labels map[string]string
	Taints []v1.Taint
	// Unschedulable registers the node cordoned.
	Unschedulable bool
	// Addresses of the node: addresses first, the host name last.
	Addresses   []v1.NodeAddress
	ProviderID  string
	MaxPods     int
	KubeletPort int
	Version     string
	// Reserved is held back from pods; EvictionMemory is as well.
	Reserved v1.ResourceList
}

// Runtime is what the container runtime says of itself.
type Runtime struct {
	// Version is like "containerd://2.3.7".
	Version  string
	Handlers []v1.NodeRuntimeHandler
	Features *v1.NodeFeatures
	// Problems keep the node from being ready; empty when all is well.
	Problems string
	Images   []v1.ContainerImage
}

// Pressure is which resources the node runs out of.
type Pressure struct{ Memory, Disk, PID bool }

// maxImages is how many images a node's status lists.
const maxImages = 50

// Resources returns the node's capacity and what pods may have of it.
func Resources(m Machine, c Config) (capacity, allocatable v1.ResourceList) {
	capacity = v1.ResourceList{
		v1.ResourceCPU:    *resource.NewQuantity(int64(m.CPUs), resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(m.MemoryBytes, resource.BinarySI),
		v1.ResourcePods:   *resource.NewQuantity(int64(c.MaxPods), resource.DecimalSI),
	}
	if m.DiskBytes > 0 {
		capacity[v1.ResourceEphemeralStorage] = *resource.NewQuantity(m.DiskBytes, resource.BinarySI)
	}
	for name, bytes := range m.HugePages {
		capacity[v1.ResourceName(name)] = *resource.NewQuantity(bytes, resource.BinarySI)
	}
	allocatable = capacity.DeepCopy()
	for name, reserved := range c.Reserved {
		q, ok := allocatable[name]
		if !ok {
			continue
		}
		if q.Sub(reserved); q.Sign() < 0 {
			q.Set(0)
		}
		allocatable[name] = q
	}
	// Memory set aside for huge pages is no memory for anything else.
	memory := allocatable[v1.ResourceMemory]
	for _, bytes := range m.HugePages {
		memory.Sub(*resource.NewQuantity(bytes, resource.BinarySI))
	}
	if memory.Sign() < 0 {
		memory.Set(0)
	}
	allocatable[v1.ResourceMemory] = memory
	return capacity, allocatable
}

// Labels are the labels every node carries, with those of the configuration.
func Labels(m Machine, c Config) map[string]string {
	hostname := m.Hostname
	for _, a := range c.Addresses {
		if a.Type == v1.NodeHostName {
			hostname = a.Address
		}
	}
	out := map[string]string{
		v1.LabelHostname:          hostname,
		v1.LabelOSStable:          m.OS,
		v1.LabelArchStable:        m.Arch,
		"beta.kubernetes.io/os":   m.OS,
		"beta.kubernetes.io/arch": m.Arch,
	}
	maps.Copy(out, c.Labels)
	return out
}

// New is the Node as it is first registered, without its status.
func New(m Machine, c Config) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        c.NodeName,
			Labels:      Labels(m, c),
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		Spec: v1.NodeSpec{ProviderID: c.ProviderID, Unschedulable: c.Unschedulable, Taints: slices.Clone(c.Taints)},
	}
}

// Status returns the node's status, given the one before: conditions that did not
// change keep their transition time, and what others maintain stays.
func Status(before v1.NodeStatus, m Machine, c Config, r Runtime, p Pressure, now time.Time) v1.NodeStatus {
	s := *before.DeepCopy()
	s.Capacity, s.Allocatable = merged(before, m, c)
	s.Addresses = slices.Clone(c.Addresses)
	s.DaemonEndpoints.KubeletEndpoint.Port = int32(c.KubeletPort)
	s.NodeInfo = v1.NodeSystemInfo{
		MachineID: m.MachineID, SystemUUID: m.SystemUUID, BootID: m.BootID,
		KernelVersion: m.KernelVersion, OSImage: m.OSImage,
		ContainerRuntimeVersion: r.Version, KubeletVersion: c.Version,
		OperatingSystem: m.OS, Architecture: m.Arch,
	}
	if m.SwapBytes > 0 {
		s.NodeInfo.Swap = &v1.NodeSwapStatus{Capacity: &m.SwapBytes}
	}
	s.Images = r.Images
	if len(s.Images) > maxImages {
		s.Images = s.Images[:maxImages]
	}
	s.RuntimeHandlers, s.Features = r.Handlers, r.Features
	s.Conditions = conditions(before.Conditions, r, p, now)
	return s
}

// merged adds to the machine's resources those that others advertise on the node,
// such as device plugins or an operator by patching the status.
func merged(before v1.NodeStatus, m Machine, c Config) (capacity, allocatable v1.ResourceList) {
	capacity, allocatable = Resources(m, c)
	for name, q := range before.Capacity {
		if _, ours := capacity[name]; !ours && !native(name) {
			capacity[name] = q
			if a, ok := before.Allocatable[name]; ok {
				allocatable[name] = a
			} else {
				allocatable[name] = q
			}
		}
	}
	return capacity, allocatable
}

// native reports whether a resource is the machine's own kind, without a domain.
func native(name v1.ResourceName) bool { return !slices.Contains([]byte(name), '/') }

func conditions(before []v1.NodeCondition, r Runtime, p Pressure, now time.Time) []v1.NodeCondition {
	out := slices.Clone(before)
	pressure := func(t v1.NodeConditionType, on bool, badReason, badMessage, goodReason, goodMessage string) {
		c := v1.NodeCondition{Type: t, Status: v1.ConditionFalse, Reason: goodReason, Message: goodMessage}
		if on {
			c.Status, c.Reason, c.Message = v1.ConditionTrue, badReason, badMessage
		}
		out = setCondition(out, c, now)
	}
	pressure(v1.NodeMemoryPressure, p.Memory, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
	pressure(v1.NodeDiskPressure, p.Disk, "KubeletHasDiskPressure", "kubelet has disk pressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
	pressure(v1.NodePIDPressure, p.PID, "KubeletHasInsufficientPID", "kubelet has insufficient PID available", "KubeletHasSufficientPID", "kubelet has sufficient PID available")
	ready := v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"}
	if r.Problems != "" {
		ready.Status, ready.Reason, ready.Message = v1.ConditionFalse, "KubeletNotReady", r.Problems
	}
	return setCondition(out, ready, now)
}

func setCondition(list []v1.NodeCondition, c v1.NodeCondition, now time.Time) []v1.NodeCondition {
	t := metav1.NewTime(now).Rfc3339Copy()
	c.LastHeartbeatTime, c.LastTransitionTime = t, t
	for i := range list {
		if list[i].Type == c.Type {
			if list[i].Status == c.Status {
				c.LastTransitionTime = list[i].LastTransitionTime
			}
			list[i] = c
			return list
		}
	}
	return append(list, c)
}
