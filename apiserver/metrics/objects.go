package metrics

import "github.com/prometheus/client_golang/prometheus"

// Objects counts the stored objects of each resource when it is asked.
type Objects struct {
	// Each calls visit for every resource whose number of objects is known.
	Each func(visit func(group, resource string, n int))
}

var (
	storageObjects = prometheus.NewDesc("apiserver_storage_objects",
		"Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
		[]string{"resource"}, nil)
	resourceObjects = prometheus.NewDesc("apiserver_resource_objects",
		"Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
		[]string{"group", "resource"}, nil)
)

// Describe implements prometheus.Collector.
func (o Objects) Describe(ch chan<- *prometheus.Desc) {
	ch <- storageObjects
	ch <- resourceObjects
}

// Collect implements prometheus.Collector.
func (o Objects) Collect(ch chan<- prometheus.Metric) {
	o.Each(func(group, resource string, n int) {
		name := resource
		if group != "" {
			name += "." + group
		}
		ch <- prometheus.MustNewConstMetric(storageObjects, prometheus.GaugeValue, float64(n), name)
		ch <- prometheus.MustNewConstMetric(resourceObjects, prometheus.GaugeValue, float64(n), group, resource)
	})
}
