package server

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	nodecri "proa/node/cri"
)

// metricsType is the text format of Prometheus.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// families collects samples, so that each family is written together with its
// help, as the format demands.
type families struct {
	order []string
	byKey map[string]*family
}

type family struct {
	help, kind string
	samples    []string
}

func (f *families) add(name, kind, help string, labels map[string]string, v float64, ms int64) {
	if f.byKey == nil {
		f.byKey = map[string]*family{}
	}
	fam := f.byKey[name]
	if fam == nil {
		fam = &family{help: help, kind: kind}
		f.byKey[name] = fam
		f.order = append(f.order, name)
	}
	var b strings.Builder
	b.WriteString(name)
	if len(labels) > 0 {
		keys := make([]string, 0, len(labels))
		for k := range labels {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for i, k := range keys {
			sep := ","
			if i == 0 {
				sep = "{"
			}
			fmt.Fprintf(&b, "%s%s=%q", sep, k, labels[k])
		}
		b.WriteByte('}')
	}
	fmt.Fprintf(&b, " %v", v)
	if ms != 0 {
		fmt.Fprintf(&b, " %d", ms)
	}
	fam.samples = append(fam.samples, b.String())
}

func (f *families) write(w io.Writer) {
	for _, name := range f.order {
		fam := f.byKey[name]
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, fam.help, name, fam.kind)
		for _, s := range fam.samples {
			fmt.Fprintln(w, s)
		}
	}
}

// resourceMetrics is /metrics/resource, what the metrics server scrapes.
func (s *Server) resourceMetrics(w http.ResponseWriter, r *http.Request) {
	sum, err := s.Summary(r.Context(), true)
	var f families
	failed := 0.0
	if err != nil {
		s.cfg.Log.Warn("measure for /metrics/resource", "err", err)
		failed = 1
	} else {
		resourceFamilies(&f, sum)
	}
	f.add("resource_scrape_error", "gauge", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise", nil, failed, 0)
	w.Header().Set("Content-Type", metricsType)
	f.write(w)
}

func resourceFamilies(f *families, sum *stats.Summary) {
	cpu := func(name, help string, labels map[string]string, c *stats.CPUStats) {
		if c != nil && c.UsageCoreNanoSeconds != nil {
			f.add(name, "counter", help, labels, float64(*c.UsageCoreNanoSeconds)/1e9, c.Time.UnixMilli())
		}
	}
	memory := func(name, help string, labels map[string]string, m *stats.MemoryStats) {
		if m != nil && m.WorkingSetBytes != nil {
			f.add(name, "gauge", help, labels, float64(*m.WorkingSetBytes), m.Time.UnixMilli())
		}
	}
	cpu("node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds", nil, sum.Node.CPU)
	memory("node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", nil, sum.Node.Memory)
	for i := range sum.Pods {
		p := &sum.Pods[i]
		pod := map[string]string{"namespace": p.PodRef.Namespace, "pod": p.PodRef.Name}
		cpu("pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", pod, p.CPU)
		memory("pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", pod, p.Memory)
		for j := range p.Containers {
			c := &p.Containers[j]
			one := map[string]string{"namespace": p.PodRef.Namespace, "pod": p.PodRef.Name, "container": c.Name}
			if !c.StartTime.IsZero() {
				f.add("container_start_time_seconds", "gauge", "[STABLE] Start time of the container since unix epoch in seconds", one, float64(c.StartTime.UnixNano())/1e9, 0)
			}
			cpu("container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds", one, c.CPU)
			memory("container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes", one, c.Memory)
			if c.Swap != nil && c.Swap.SwapUsageBytes != nil {
				f.add("container_swap_usage_bytes", "gauge", "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems", one, float64(*c.Swap.SwapUsageBytes), c.Swap.Time.UnixMilli())
			}
		}
	}
}

// containerMetrics is /metrics/cadvisor: the few of its series that dashboards
// are built on, by its names and labels.
func (s *Server) containerMetrics(w http.ResponseWriter, r *http.Request) {
	sum, err := s.Summary(r.Context(), false)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	pods := map[string]*corev1.Pod{}
	for _, p := range s.cfg.Agent.Pods() {
		pods[string(p.UID)] = p
	}
	var f families
	f.add("machine_cpu_cores", "gauge", "Number of logical CPU cores.", nil, float64(runtime.NumCPU()), 0)
	if m := sum.Node.Memory; m != nil && m.AvailableBytes != nil && m.WorkingSetBytes != nil {
		f.add("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", nil, float64(*m.AvailableBytes+*m.WorkingSetBytes), 0)
	}
	for i := range sum.Pods {
		p := &sum.Pods[i]
		base := map[string]string{"namespace": p.PodRef.Namespace, "pod": p.PodRef.Name, "container": "", "image": ""}
		usageFamilies(&f, base, p.CPU, p.Memory)
		networkFamilies(&f, base, p.Network)
		for j := range p.Containers {
			c := &p.Containers[j]
			one := map[string]string{"namespace": p.PodRef.Namespace, "pod": p.PodRef.Name, "container": c.Name, "image": imageOf(pods[p.PodRef.UID], c.Name)}
			usageFamilies(&f, one, c.CPU, c.Memory)
			if !c.StartTime.IsZero() {
				f.add("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.", one, float64(c.StartTime.Unix()), 0)
			}
			if c.Rootfs != nil && c.Rootfs.UsedBytes != nil {
				f.add("container_fs_usage_bytes", "gauge", "Number of bytes that are consumed by the container on this filesystem.", one, float64(*c.Rootfs.UsedBytes), c.Rootfs.Time.UnixMilli())
			}
		}
	}
	w.Header().Set("Content-Type", metricsType)
	f.write(w)
}

func imageOf(pod *corev1.Pod, container string) string {
	if pod != nil {
		if c := nodecri.FindContainer(pod, container); c != nil {
			return c.Image
		}
	}
	return ""
}

func usageFamilies(f *families, labels map[string]string, c *stats.CPUStats, m *stats.MemoryStats) {
	if c != nil && c.UsageCoreNanoSeconds != nil {
		withCPU := map[string]string{"cpu": "total"}
		for k, v := range labels {
			withCPU[k] = v
		}
		f.add("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", withCPU, float64(*c.UsageCoreNanoSeconds)/1e9, c.Time.UnixMilli())
	}
	if m == nil {
		return
	}
	for _, g := range []struct {
		name, help string
		v          *uint64
	}{
		{"container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was accessed", m.UsageBytes},
		{"container_memory_working_set_bytes", "Current working set in bytes.", m.WorkingSetBytes},
		{"container_memory_rss", "Size of RSS in bytes.", m.RSSBytes},
	} {
		if g.v != nil {
			f.add(g.name, "gauge", g.help, labels, float64(*g.v), m.Time.UnixMilli())
		}
	}
}

func networkFamilies(f *families, labels map[string]string, n *stats.NetworkStats) {
	if n == nil {
		return
	}
	for _, i := range n.Interfaces {
		on := map[string]string{"interface": i.Name}
		for k, v := range labels {
			on[k] = v
		}
		for _, g := range []struct {
			name, help string
			v          *uint64
		}{
			{"container_network_receive_bytes_total", "Cumulative count of bytes received", i.RxBytes},
			{"container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", i.RxErrors},
			{"container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", i.TxBytes},
			{"container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", i.TxErrors},
		} {
			if g.v != nil {
				f.add(g.name, "counter", g.help, on, float64(*g.v), n.Time.UnixMilli())
			}
		}
	}
}
