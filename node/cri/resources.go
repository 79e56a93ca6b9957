package cri

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cgroup"
)

const (
	defaultPeriod = 100 * time.Millisecond

	oomGuaranteed = -997
	oomBestEffort = 1000
)

// Resources are what the runtime writes into the container's cgroup.
// A limit of the pod as a whole bounds containers that have none of their own.
func Resources(in ContainerInput) *runtimeapi.LinuxContainerResources {
	r := in.Container.Resources
	cpuLimit, memLimit := r.Limits[corev1.ResourceCPU], r.Limits[corev1.ResourceMemory]
	if p := in.Pod.Spec.Resources; p != nil {
		if cpuLimit.IsZero() {
			cpuLimit = p.Limits[corev1.ResourceCPU]
		}
		if memLimit.IsZero() {
			memLimit = p.Limits[corev1.ResourceMemory]
		}
	}
	out := linuxResources(in.Node, r.Requests, cpuLimit, memLimit)
	out.OomScoreAdj = int64(OOMScoreAdj(in.Pod, in.Container, in.Node.MemoryCapacity))
	out.HugepageLimits = hugePages(in.Node.HugePageSizes, r.Limits)
	if in.Node.CgroupV2 {
		out.Unified = map[string]string{}
		if !in.Node.SingleProcessOOMKill {
			out.Unified["memory.oom.group"] = "1"
		}
		if in.Node.SwapController {
			out.Unified["memory.swap.max"] = "0"
		}
	} else if in.Node.SwapController {
		out.MemorySwapLimitInBytes = out.MemoryLimitInBytes
	}
	return out
}

// sandboxResources are the pod's as a whole, for runtimes that size the
// sandbox (virtual machines); overhead is apart.
func sandboxResources(in PodInput) (all, overhead *runtimeapi.LinuxContainerResources) {
	o := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
	lim := resourcehelper.PodLimits(in.Pod, o)
	all = linuxResources(in.Node, resourcehelper.PodRequests(in.Pod, o), lim[corev1.ResourceCPU], lim[corev1.ResourceMemory])
	if ov := in.Pod.Spec.Overhead; ov != nil {
		overhead = linuxResources(in.Node, ov, ov[corev1.ResourceCPU], ov[corev1.ResourceMemory])
	} else {
		overhead = &runtimeapi.LinuxContainerResources{}
	}
	return all, overhead
}

func linuxResources(n *Node, requests corev1.ResourceList, cpuLimit, memLimit resource.Quantity) *runtimeapi.LinuxContainerResources {
	out := &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memLimit.Value()}
	// A limit without a request is a request too.
	if req, ok := requests[corev1.ResourceCPU]; ok || cpuLimit.IsZero() {
		out.CpuShares = cgroup.MilliCPUToShares(req.MilliValue())
	} else {
		out.CpuShares = cgroup.MilliCPUToShares(cpuLimit.MilliValue())
	}
	if !n.NoCPUQuota {
		period := n.CPUPeriod
		if period == 0 {
			period = defaultPeriod
		}
		out.CpuPeriod = period.Microseconds()
		out.CpuQuota = cgroup.MilliCPUToQuota(cpuLimit.MilliValue(), out.CpuPeriod)
	}
	return out
}

// hugePages limits every page size of the kernel, to nothing where the
// container asks for none.
func hugePages(sizes []string, limits corev1.ResourceList) []*runtimeapi.HugepageLimit {
	want := map[string]uint64{}
	for name, q := range limits {
		if s, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix); ok {
			if size, err := resource.ParseQuantity(s); err == nil {
				want[hugePageName(size.Value())] = uint64(q.Value())
			}
		}
	}
	var out []*runtimeapi.HugepageLimit
	for _, s := range sizes {
		out = append(out, &runtimeapi.HugepageLimit{PageSize: s, Limit: want[s]})
	}
	return out
}

// hugePageName writes a page size as cgroup file names do: 64KB, 2MB, 1GB.
func hugePageName(bytes int64) string {
	units := []string{"B", "KB", "MB", "GB"}
	i := 0
	for bytes >= 1024 && bytes%1024 == 0 && i < len(units)-1 {
		bytes /= 1024
		i++
	}
	return strconv.FormatInt(bytes, 10) + units[i]
}

// OOMScoreAdj is how willingly the kernel shall kill the container: least a
// guaranteed or node-critical one, most one of best effort, and between them
// the more memory asked for the less.
func OOMScoreAdj(pod *corev1.Pod, c *corev1.Container, capacity int64) int {
	if pod.Spec.PriorityClassName == "system-node-critical" {
		return oomGuaranteed
	}
	switch cgroup.QOS(pod) {
	case corev1.PodQOSGuaranteed:
		return oomGuaranteed
	case corev1.PodQOSBestEffort:
		return oomBestEffort
	}
	if capacity <= 0 {
		return oomBestEffort - 1
	}
	// What the pod as a whole asks for beyond its containers is shared evenly.
	var share int64
	if p := pod.Spec.Resources; p != nil && p.Requests.Memory().Value() > 0 {
		all := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
		if rest := p.Requests.Memory().Value() - all.Memory().Value(); rest > 0 {
			share = rest / int64(len(pod.Spec.InitContainers)+len(pod.Spec.Containers))
		}
	}
	score := func(memory int64) int64 { return 1000 - 1000*(memory+share)/capacity }
	adj := score(c.Resources.Requests.Memory().Value())
	if IsSidecar(pod, c.Name) {
		// A sidecar outlives the least of the containers it serves.
		least := pod.Spec.Containers[0].Resources.Requests.Memory().Value()
		for i := range pod.Spec.Containers {
			least = min(least, pod.Spec.Containers[i].Resources.Requests.Memory().Value())
		}
		adj = min(adj, score(least))
	}
	return int(max(1000+oomGuaranteed, min(adj, oomBestEffort-1)))
}

// IsSidecar says whether the named container is an init container that keeps
// running beside the others.
func IsSidecar(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name == name {
			return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}
	}
	return false
}
