package cgroup

import (
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// period of the CFS quota of pods, in microseconds.
const period = 100000

// limits are what is written to one cgroup. Zero leaves a value as it is,
// except for hugePages, which lists every size of the kernel.
type limits struct {
	shares int64
	quota  int64 // microseconds per period; -1 for none
	memory int64 // bytes; -1 for none
	// hugePages maps the page size's name to bytes.
	hugePages string
}

// podLimits decides the limits of the pod's cgroup. A sum of limits bounds the
// pod only if every container has one.
func podLimits(pod *corev1.Pod, noQuota bool, sizes []string) limits {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	cpuAll, memAll := true, true
	declared := func(r *corev1.ResourceRequirements) {
		cpuAll = cpuAll && r.Limits.Cpu().Sign() > 0
		memAll = memAll && r.Limits.Memory().Sign() > 0
	}
	for i := range pod.Spec.InitContainers {
		declared(&pod.Spec.InitContainers[i].Resources)
	}
	for i := range pod.Spec.Containers {
		declared(&pod.Spec.Containers[i].Resources)
	}
	if r := pod.Spec.Resources; r != nil {
		cpuAll = cpuAll || r.Limits.Cpu().Sign() > 0
		memAll = memAll || r.Limits.Memory().Sign() > 0
	}
	sum := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	l := limits{
		shares: MilliCPUToShares(requests.Cpu().MilliValue()),
		quota:  -1, memory: -1,
		hugePages: hugePages(sizes, sum),
	}
	switch QOS(pod) {
	case corev1.PodQOSBestEffort:
		l.shares = minShares
		return l
	case corev1.PodQOSGuaranteed:
		cpuAll, memAll = true, true
	}
	if q := MilliCPUToQuota(sum.Cpu().MilliValue(), period); cpuAll && !noQuota && q > 0 {
		l.quota = q
	}
	if m := sum.Memory().Value(); memAll && m > 0 {
		l.memory = m
	}
	return l
}

// topLimits are those of kubepods: what pods may have of the machine.
func topLimits(allocatable corev1.ResourceList, sizes []string) limits {
	l := limits{hugePages: hugePages(sizes, allocatable)}
	if q, ok := allocatable[corev1.ResourceCPU]; ok {
		l.shares = MilliCPUToShares(q.MilliValue())
	}
	if q, ok := allocatable[corev1.ResourceMemory]; ok && q.Sign() > 0 {
		l.memory = q.Value()
	}
	return l
}

// hugePages writes the limit of every page size as size=bytes, in order.
func hugePages(sizes []string, list corev1.ResourceList) string {
	want := map[string]int64{}
	for n, q := range list {
		s, ok := strings.CutPrefix(string(n), corev1.ResourceHugePagesPrefix)
		if !ok {
			continue
		}
		if size, err := resource.ParseQuantity(s); err == nil {
			want[pageSize(size.Value())] = q.Value()
		}
	}
	var b strings.Builder
	for _, s := range sizes {
		b.WriteString(s + "=" + strconv.FormatInt(want[s], 10) + " ")
	}
	return b.String()
}

// pageSize writes a page size as cgroup file names do: 64KB, 2MB, 1GB.
func pageSize(bytes int64) string {
	units := []string{"B", "KB", "MB", "GB"}
	i := 0
	for bytes >= 1024 && bytes%1024 == 0 && i < len(units)-1 {
		bytes /= 1024
		i++
	}
	return strconv.FormatInt(bytes, 10) + units[i]
}

// resources are the limits in the library's form.
func (l limits) resources(unified bool) *cgroups.Resources {
	r := &cgroups.Resources{
		SkipDevices:     true, // the runtime sets devices, per container
		SkipFreezeOnSet: true,
		Memory:          l.memory,
	}
	if unified {
		if l.shares > 0 {
			r.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(uint64(l.shares))
		}
	} else {
		r.CpuShares = uint64(l.shares)
	}
	if l.quota != 0 {
		r.CpuQuota, r.CpuPeriod = l.quota, period
	}
	for f := range strings.FieldsSeq(l.hugePages) {
		size, n, _ := strings.Cut(f, "=")
		limit, _ := strconv.ParseUint(n, 10, 64)
		r.HugetlbLimit = append(r.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: size, Limit: limit})
	}
	return r
}
