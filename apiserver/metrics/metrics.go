// Package metrics counts what the API server does, under the names that
// upstream has declared stable, so that dashboards and alerts keep working.
package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"proa/apiserver/request"
)

// Metrics of one server. Safe for concurrent use.
type Metrics struct {
	requests    *prometheus.CounterVec
	durations   *prometheus.HistogramVec
	sizes       *prometheus.HistogramVec
	longRunning *prometheus.GaugeVec
	inFlight    *prometheus.GaugeVec
	dropped     *prometheus.CounterVec
	events      *prometheus.CounterVec
	eventSizes  *prometheus.HistogramVec
	read, write prometheus.Gauge
	routes      sync.Map // route → *series
	watchSeries sync.Map // [2]string → *watchSeries
	// by result
	authentications, authorizations map[string]outcome
	*admissions
}

// New makes the metrics and registers them.
func New(r prometheus.Registerer) *Metrics {
	labels := []string{"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total",
			Help: "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
		}, append(labels[:len(labels):len(labels)], "code")),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_request_duration_seconds",
			Help:    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
			Buckets: []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60},
		}, labels),
		sizes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_response_sizes",
			Help:    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
			Buckets: prometheus.ExponentialBuckets(1000, 10.0, 7),
		}, []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}),
		longRunning: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests",
			Help: "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
		}, []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_current_inflight_requests",
			Help: "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
		}, []string{"request_kind"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_dropped_requests_total",
			Help: "Number of requests refused because too many were in flight.",
		}, []string{"request_kind"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_watch_events_total",
			Help: "Number of events sent in watch clients",
		}, []string{"group", "version", "kind"}),
		eventSizes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_watch_events_sizes",
			Help:    "Watch event size distribution in bytes",
			Buckets: prometheus.ExponentialBuckets(1024, 2.0, 8),
		}, []string{"group", "version", "kind"}),
		admissions: newAdmissions(r),
	}
	r.MustRegister(m.requests, m.durations, m.sizes, m.longRunning, m.inFlight, m.dropped, m.events, m.eventSizes)
	m.authentications = outcomes(r, "authentication_attempts", "Counter of authenticated attempts.",
		"authentication_duration_seconds", "Authentication duration in seconds broken out by result.", "success", "failure", "error")
	m.authorizations = outcomes(r, "authorization_attempts_total", "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
		"authorization_duration_seconds", "Authorization duration in seconds broken out by result.", "allowed", "denied", "no-opinion", "error")
	m.read, m.write = m.inFlight.WithLabelValues("readOnly"), m.inFlight.WithLabelValues("mutating")
	return m
}

// route is what the series of a request differ by.
type route struct {
	verb, group, version, resource, subresource, scope, code string
	dryRun                                                   bool
}

type series struct {
	count    prometheus.Counter
	duration prometheus.Observer
	size     prometheus.Observer
}

// Done counts a request that has been answered. served is false for resources
// and subresources that do not exist, whose names are not kept: a client could
// make up any number of them.
func (m *Metrics) Done(info *request.Info, served, dryRun bool, code int, bytes int64, took time.Duration) {
	k := routeOf(info, served)
	k.dryRun, k.code = dryRun, codes(code)
	v, ok := m.routes.Load(k)
	if !ok {
		dry := ""
		if dryRun {
			dry = "All"
		}
		v, _ = m.routes.LoadOrStore(k, &series{
			count:    m.requests.WithLabelValues(k.verb, dry, k.group, k.version, k.resource, k.subresource, k.scope, "apiserver", k.code),
			duration: m.durations.WithLabelValues(k.verb, dry, k.group, k.version, k.resource, k.subresource, k.scope, "apiserver"),
			size:     m.sizes.WithLabelValues(k.verb, k.group, k.version, k.resource, k.subresource, k.scope, "apiserver"),
		})
	}
	s := v.(*series)
	s.count.Inc()
	if !info.LongRunning() {
		s.duration.Observe(took.Seconds())
		if info.ReadOnly() {
			s.size.Observe(float64(bytes))
		}
	}
}

// LongRunning counts a long request until the returned function is called.
// served is that of Done.
func (m *Metrics) LongRunning(info *request.Info, served bool) func() {
	k := routeOf(info, served)
	g := m.longRunning.WithLabelValues(k.verb, k.group, k.version, k.resource, k.subresource, k.scope, "apiserver")
	g.Inc()
	return g.Dec
}

// InFlight moves the number of requests in flight by n.
func (m *Metrics) InFlight(readOnly bool, n float64) {
	if readOnly {
		m.read.Add(n)
	} else {
		m.write.Add(n)
	}
}

// Dropped counts a request that was one too many.
func (m *Metrics) Dropped(readOnly bool) {
	kind := "mutating"
	if readOnly {
		kind = "readOnly"
	}
	m.dropped.WithLabelValues(kind).Inc()
}

// outcome is what is counted of attempts with one result.
type outcome struct {
	count   prometheus.Counter
	seconds prometheus.Observer
}

func (o outcome) add(took time.Duration) {
	o.count.Inc()
	o.seconds.Observe(took.Seconds())
}

// outcomes registers a counter and a histogram by result, for every result that
// there is.
func outcomes(r prometheus.Registerer, counter, counts, histogram, times string, results ...string) map[string]outcome {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{Name: counter, Help: counts}, []string{"result"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: histogram, Help: times, Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
	}, []string{"result"})
	r.MustRegister(count, seconds)
	m := map[string]outcome{}
	for _, result := range results {
		m[result] = outcome{count.WithLabelValues(result), seconds.WithLabelValues(result)}
	}
	return m
}

// Authenticated counts an attempt by its result: success, failure or error.
func (m *Metrics) Authenticated(result string, took time.Duration) {
	m.authentications[result].add(took)
}

// Authorized counts an answer: allowed, denied, no-opinion or error.
func (m *Metrics) Authorized(result string, took time.Duration) { m.authorizations[result].add(took) }

type watchSeries struct {
	count prometheus.Counter
	size  prometheus.Observer
}

// WatchEvents implements rest.Observer.
func (m *Metrics) WatchEvents(group, version, kind string, events, bytes int) {
	k := [3]string{group, version, kind}
	v, ok := m.watchSeries.Load(k)
	if !ok {
		v, _ = m.watchSeries.LoadOrStore(k, &watchSeries{
			count: m.events.WithLabelValues(group, version, kind),
			size:  m.eventSizes.WithLabelValues(group, version, kind),
		})
	}
	s := v.(*watchSeries)
	s.count.Add(float64(events))
	if events > 0 {
		s.size.Observe(float64(bytes / events))
	}
}

func routeOf(info *request.Info, served bool) route {
	k := route{verb: verb(info), scope: scope(info)}
	if info.IsResource && served {
		k.group, k.version, k.resource, k.subresource = info.Group, info.Version, info.Resource, info.Subresource
	}
	return k
}

// verb as dashboards know it.
func verb(info *request.Info) string {
	if info.IsResource && info.Subresource != "" && info.LongRunning() && info.Verb != "watch" {
		return "CONNECT"
	}
	switch info.Verb {
	case "get":
		return "GET"
	case "list":
		return "LIST"
	case "watch":
		return "WATCH"
	case "create", "post":
		return "POST"
	case "update", "put":
		return "PUT"
	case "patch":
		return "PATCH"
	case "delete":
		return "DELETE"
	case "deletecollection":
		return "DELETECOLLECTION"
	}
	return "other"
}

func scope(info *request.Info) string {
	switch {
	case !info.IsResource:
		return ""
	case info.Name != "" || info.Verb == "create":
		return "resource"
	case info.Namespace != "":
		return "namespace"
	}
	return "cluster"
}

func codes(code int) string {
	switch code {
	case 0, 200:
		return "200"
	case 201:
		return "201"
	case 404:
		return "404"
	case 409:
		return "409"
	}
	return strconv.Itoa(code)
}
