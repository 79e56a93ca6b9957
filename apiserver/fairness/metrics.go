package fairness

import "github.com/prometheus/client_golang/prometheus"

// Descriptions of the metrics, under upstream's names. They are computed when
// somebody asks, so that a request pays for counters only.
var (
	byLevel  = []string{"priority_level"}
	bySchema = []string{"priority_level", "flow_schema"}

	nominalSeats = prometheus.NewDesc("apiserver_flowcontrol_nominal_limit_seats", "Nominal number of execution seats configured for each priority level", byLevel, nil)
	currentSeats = prometheus.NewDesc("apiserver_flowcontrol_current_limit_seats", "current derived number of execution seats available to each priority level", byLevel, nil)
	takenSeats   = prometheus.NewDesc("apiserver_flowcontrol_current_executing_seats", "Concurrency (number of seats) occupied by the currently executing requests of each priority level", byLevel, nil)
	executing    = prometheus.NewDesc("apiserver_flowcontrol_current_executing_requests", "Number of requests of each priority level that are executing (a WATCH: beginning)", byLevel, nil)
	inQueue      = prometheus.NewDesc("apiserver_flowcontrol_current_inqueue_requests", "Number of requests of each priority level that wait in queues", byLevel, nil)
	dispatched   = prometheus.NewDesc("apiserver_flowcontrol_dispatched_requests_total", "Number of requests executed by API Priority and Fairness subsystem", bySchema, nil)
	rejected     = prometheus.NewDesc("apiserver_flowcontrol_rejected_requests_total", "Number of requests rejected by API Priority and Fairness subsystem", append(bySchema[:2:2], "reason"), nil)
)

// Describe implements prometheus.Collector.
func (f *Fairness) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nominalSeats, currentSeats, takenSeats, executing, inQueue, dispatched, rejected} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *Fairness) Collect(ch chan<- prometheus.Metric) {
	present := f.present.Load()
	gauge := func(d *prometheus.Desc, v int, level string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), level)
	}
	for _, l := range present.levels {
		s := l.state()
		gauge(nominalSeats, s.nominal, l.name)
		gauge(currentSeats, s.limit, l.name)
		gauge(takenSeats, s.taken, l.name)
		gauge(executing, s.inside, l.name)
		gauge(inQueue, s.waiting, l.name)
	}
	for _, s := range present.schemas {
		count := func(d *prometheus.Desc, n uint64, labels ...string) {
			if n > 0 {
				ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{s.level.name, s.name}, labels...)...)
			}
		}
		count(dispatched, s.counts.dispatched.Load())
		count(rejected, s.counts.full.Load(), errQueueFull.Error())
		count(rejected, s.counts.timeout.Load(), errTimeOut.Error())
		count(rejected, s.counts.limited.Load(), errLimit.Error())
		count(rejected, s.counts.cancelled.Load(), errCancelled.Error())
	}
}
