package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
)

// ownMetrics is /metrics where the process has none of its own to give: what
// the process costs, and how many pods and containers run.
func ownMetrics(cfg Config) http.Handler {
	reg := prometheus.NewRegistry()
	running := func() (pods, containers float64) {
		for _, p := range cfg.Agent.Pods() {
			if p.Status.Phase != corev1.PodRunning {
				continue
			}
			pods++
			for i := range p.Status.ContainerStatuses {
				if p.Status.ContainerStatuses[i].State.Running != nil {
					containers++
				}
			}
		}
		return pods, containers
	}
	node := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubelet_node_name", Help: "[ALPHA] The node's name. The count is always 1.", ConstLabels: prometheus.Labels{"node": cfg.NodeName},
	})
	node.Set(1)
	reg.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), node,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubelet_running_pods", Help: "[ALPHA] Number of pods that have a running pod sandbox"},
			func() float64 { n, _ := running(); return n }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubelet_running_containers", Help: "[ALPHA] Number of containers currently running", ConstLabels: prometheus.Labels{"container_state": "running"}},
			func() float64 { _, n := running(); return n }),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}
