package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	nodecri "proa/node/cri"
)

// summary is /stats/summary: the node, its pods and their containers.
func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	onlyUsage := r.Form.Get("only_cpu_and_memory") == "true"
	out, err := s.Summary(r.Context(), onlyUsage)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, out)
}

// Summary measures the node now. With onlyUsage it leaves out what has to be
// searched for on disk, and networks.
func (s *Server) Summary(ctx context.Context, onlyUsage bool) (*stats.Summary, error) {
	list, err := s.cfg.Runtime.ListPodSandboxStats(ctx, nil)
	if err != nil {
		return nil, err
	}
	now := metav1.NewTime(s.cfg.Clock.Now())
	out := &stats.Summary{Node: s.nodeStats(ctx, now, onlyUsage), Pods: []stats.PodStats{}}
	pods := map[types.UID]*corev1.Pod{}
	for _, p := range s.cfg.Agent.Pods() {
		pods[p.UID] = p
	}
	seen := map[string]bool{}
	for _, b := range list {
		if pod := pods[types.UID(b.GetAttributes().GetMetadata().GetUid())]; pod != nil {
			out.Pods = append(out.Pods, s.podStats(ctx, pod, b, onlyUsage, seen))
		}
	}
	s.cpu.retain(seen)
	return out, nil
}

func (s *Server) podStats(ctx context.Context, pod *corev1.Pod, b *runtimeapi.PodSandboxStats, onlyUsage bool, seen map[string]bool) stats.PodStats {
	l := b.GetLinux()
	id := b.GetAttributes().GetId()
	out := stats.PodStats{
		PodRef:     stats.PodReference{Name: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID)},
		Containers: []stats.ContainerStats{},
		CPU:        s.cpuStats("pod/"+id, l.GetCpu(), seen),
		Memory:     memoryStats(l.GetMemory()),
	}
	if pod.Status.StartTime != nil {
		out.StartTime = *pod.Status.StartTime
	}
	if p := l.GetProcess(); p != nil {
		out.ProcessStats = &stats.ProcessStats{ProcessCount: value(p.ProcessCount)}
	}
	if !onlyUsage {
		out.Network = networkStats(l.GetNetwork())
	}
	var disk uint64
	for _, c := range l.GetContainers() {
		name := c.GetAttributes().GetMetadata().GetName()
		cs := stats.ContainerStats{
			Name:   name,
			CPU:    s.cpuStats(c.GetAttributes().GetId(), c.GetCpu(), seen),
			Memory: memoryStats(c.GetMemory()),
		}
		if st := containerStatus(pod, name); st != nil && st.State.Running != nil {
			cs.StartTime = st.State.Running.StartedAt
		}
		if sw := c.GetSwap(); sw != nil {
			cs.Swap = &stats.SwapStats{Time: at(sw.Timestamp), SwapAvailableBytes: value(sw.SwapAvailableBytes), SwapUsageBytes: value(sw.SwapUsageBytes)}
		}
		if !onlyUsage {
			if f := c.GetWritableLayer(); f != nil {
				cs.Rootfs = &stats.FsStats{Time: at(f.Timestamp), UsedBytes: value(f.UsedBytes), InodesUsed: value(f.InodesUsed)}
				disk += f.GetUsedBytes().GetValue()
			}
			if s.cfg.PodLogs != "" {
				u := diskUsage(ctx, filepath.Join(nodecri.PodLogDir(s.cfg.PodLogs, pod.Namespace, pod.Name, pod.UID), name))
				cs.Logs = &stats.FsStats{Time: metav1.NewTime(s.cfg.Clock.Now()), UsedBytes: &u.bytes, InodesUsed: &u.inodes}
				disk += u.bytes
			}
		}
		out.Containers = append(out.Containers, cs)
	}
	if !onlyUsage {
		own, volumes := podDisk(ctx, s.cfg.Root, pod)
		for name, n := range volumes {
			out.VolumeStats = append(out.VolumeStats, stats.VolumeStats{Name: name, FsStats: stats.FsStats{Time: metav1.NewTime(s.cfg.Clock.Now()), UsedBytes: &n.bytes, InodesUsed: &n.inodes}})
		}
		disk += own
		out.EphemeralStorage = &stats.FsStats{Time: metav1.NewTime(s.cfg.Clock.Now()), UsedBytes: &disk}
	}
	return out
}

type usage struct{ bytes, inodes uint64 }

// podDisk is what the pod's own directory takes of the node's disk: volumes
// that live there, and the hosts file, which a container may fill like any
// other (CVE-2020-8557).
func podDisk(ctx context.Context, root string, pod *corev1.Pod) (total uint64, volumes map[string]usage) {
	volumes = map[string]usage{}
	if st, err := os.Lstat(nodecri.HostsFile(root, pod.UID)); err == nil {
		total += uint64(st.Size())
	}
	dir := nodecri.PodDir(root, pod.UID)
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		kind := ""
		switch {
		case v.EmptyDir != nil:
			kind = "empty-dir"
		case v.ConfigMap != nil:
			kind = "configmap"
		case v.Secret != nil:
			kind = "secret"
		case v.DownwardAPI != nil:
			kind = "downward-api"
		case v.Projected != nil:
			kind = "projected"
		default:
			continue
		}
		u := diskUsage(ctx, filepath.Join(dir, "volumes", "kubernetes.io~"+kind, v.Name))
		volumes[v.Name] = u
		if v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumDefault || v.ConfigMap != nil {
			total += u.bytes
		}
	}
	return total, volumes
}

// cpuRates remembers the last reading of each counter, to tell the rate where
// the runtime does not.
type cpuRates struct {
	mu   sync.Mutex
	last map[string]reading
}

type reading struct {
	at, total uint64 // nanoseconds
	rate      *uint64
}

func (c *cpuRates) rate(id string, at, total uint64) *uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[string]reading{}
	}
	old, ok := c.last[id]
	if ok && at <= old.at {
		return old.rate
	}
	now := reading{at: at, total: total}
	if ok && total >= old.total {
		r := uint64(float64(total-old.total) / float64(at-old.at) * float64(time.Second))
		now.rate = &r
	}
	c.last[id] = now
	return now.rate
}

// retain forgets all but these.
func (c *cpuRates) retain(ids map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.last {
		if !ids[id] && id != nodeID {
			delete(c.last, id)
		}
	}
}

func (s *Server) cpuStats(id string, u *runtimeapi.CpuUsage, seen map[string]bool) *stats.CPUStats {
	if u == nil {
		return nil
	}
	seen[id] = true
	out := &stats.CPUStats{Time: at(u.Timestamp), UsageCoreNanoSeconds: value(u.UsageCoreNanoSeconds), UsageNanoCores: value(u.UsageNanoCores)}
	if out.UsageCoreNanoSeconds != nil {
		if r := s.cpu.rate(id, uint64(u.Timestamp), *out.UsageCoreNanoSeconds); out.UsageNanoCores == nil {
			out.UsageNanoCores = r
		}
	}
	return out
}

func memoryStats(m *runtimeapi.MemoryUsage) *stats.MemoryStats {
	if m == nil {
		return nil
	}
	return &stats.MemoryStats{
		Time: at(m.Timestamp), AvailableBytes: value(m.AvailableBytes), UsageBytes: value(m.UsageBytes),
		WorkingSetBytes: value(m.WorkingSetBytes), RSSBytes: value(m.RssBytes),
		PageFaults: value(m.PageFaults), MajorPageFaults: value(m.MajorPageFaults),
	}
}

func networkStats(n *runtimeapi.NetworkUsage) *stats.NetworkStats {
	if n == nil {
		return nil
	}
	one := func(i *runtimeapi.NetworkInterfaceUsage) stats.InterfaceStats {
		return stats.InterfaceStats{Name: i.GetName(), RxBytes: value(i.GetRxBytes()), RxErrors: value(i.GetRxErrors()), TxBytes: value(i.GetTxBytes()), TxErrors: value(i.GetTxErrors())}
	}
	out := &stats.NetworkStats{Time: at(n.Timestamp), InterfaceStats: one(n.DefaultInterface)}
	for _, i := range append([]*runtimeapi.NetworkInterfaceUsage{n.DefaultInterface}, n.Interfaces...) {
		if i != nil {
			out.Interfaces = append(out.Interfaces, one(i))
		}
	}
	return out
}

func at(ns int64) metav1.Time { return metav1.NewTime(time.Unix(0, ns)) }

func value(v *runtimeapi.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	n := v.Value
	return &n
}
