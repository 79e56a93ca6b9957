package node

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"proa/node/pod"
	"proa/node/probe"
)

// metrics are the agent's own numbers, under upstream's names.
type metrics struct {
	registry *prometheus.Registry
	probes   *prometheus.Registry
	checks   *prometheus.CounterVec
}

// newMetrics returns metrics that read the agent when they are asked for.
func newMetrics(a *Agent) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		probes:   prometheus.NewRegistry(),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prober_probe_total",
			Help: "Cumulative number of a liveness, readiness or startup probe for a container by result.",
		}, []string{"probe_type", "result", "container", "pod", "namespace", "pod_uid"}),
	}
	m.probes.MustRegister(m.checks)
	name := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubelet_node_name", Help: "The node's name. The count is always 1.", ConstLabels: prometheus.Labels{"node": a.cfg.NodeName},
	})
	name.Set(1)
	m.registry.MustRegister(name, &podCollector{
		agent: a,
		pods:  prometheus.NewDesc("kubelet_running_pods", "Number of pods that have a running pod sandbox", nil, nil),
		containers: prometheus.NewDesc("kubelet_running_containers", "Number of containers currently running",
			[]string{"container_state"}, nil),
	})
	return m
}

// handler serves a registry.
func handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// count notes one check of a probe.
func (m *metrics) count(t probe.Target, k probe.Kind, o probe.Outcome) {
	result := "successful"
	if o == probe.Failure {
		result = "failed"
	}
	m.checks.WithLabelValues(string(k), result, t.Container.Name, t.Pod.Name, t.Pod.Namespace, string(t.Pod.UID)).Inc()
}

// forget drops the series of a pod that is gone.
func (m *metrics) forget(uid string) { m.checks.DeletePartialMatch(prometheus.Labels{"pod_uid": uid}) }

// podCollector counts pods and containers as the workers see them.
type podCollector struct {
	agent            *Agent
	pods, containers *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *podCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.pods
	out <- c.containers
}

// Collect implements prometheus.Collector.
func (c *podCollector) Collect(out chan<- prometheus.Metric) {
	pods := 0
	states := map[pod.State]int{}
	for _, sn := range c.agent.workers.Snapshots() {
		if sn.Observed.ReadySandbox() != nil {
			pods++
		}
		for i := range sn.Observed.Containers {
			states[sn.Observed.Containers[i].State]++
		}
	}
	out <- prometheus.MustNewConstMetric(c.pods, prometheus.GaugeValue, float64(pods))
	for _, s := range []pod.State{pod.Created, pod.Running, pod.Exited, pod.Unknown} {
		out <- prometheus.MustNewConstMetric(c.containers, prometheus.GaugeValue, float64(states[s]), s.String())
	}
}
