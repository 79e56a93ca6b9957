package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"proa/admission"
)

// admissions counts what admission does; it implements [admission.Observer].
type admissions struct {
	steps, plugins, webhooks     *prometheus.HistogramVec
	rejections, failOpens, asked *prometheus.CounterVec
	policyChecks                 *prometheus.CounterVec
	policyDurations              *prometheus.HistogramVec
	pluginSeries                 sync.Map // pluginKey → prometheus.Observer
}

type pluginKey struct {
	name     string // empty: the step
	phase    admission.Phase
	op       admission.Operation
	rejected bool
}

func newAdmissions(r prometheus.Registerer) *admissions {
	const prefix = "apiserver_admission_"
	buckets := []float64{0.005, 0.025, 0.1, 0.5, 1.0, 2.5}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	a := &admissions{
		steps: histogram(prefix+"step_admission_duration_seconds",
			"Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).",
			buckets, "type", "operation", "rejected"),
		plugins: histogram(prefix+"controller_admission_duration_seconds",
			"Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
			buckets, "name", "type", "operation", "rejected"),
		webhooks: histogram(prefix+"webhook_admission_duration_seconds",
			"Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
			append(buckets[:len(buckets):len(buckets)], 10, 25), "name", "type", "operation", "rejected"),
		rejections: counter(prefix+"webhook_rejection_count",
			"Writes refused because of a webhook, by how it failed and the status that it answered.", "name", "type", "operation", "error_type", "rejection_code"),
		failOpens: counter(prefix+"webhook_fail_open_count", "Writes that went on although a webhook did not answer.", "name", "type"),
		asked:     counter(prefix+"webhook_request_total", "Questions to webhooks.", "name", "type", "operation", "code", "rejected"),
		policyChecks: counter("apiserver_validating_admission_policy_check_total",
			"Validation admission policy check total, labeled by policy and further identified by binding and enforcement action taken.",
			"policy", "policy_binding", "error_type", "enforcement_action"),
		policyDurations: histogram("apiserver_validating_admission_policy_check_duration_seconds",
			"Validation admission latency for individual validation expressions in seconds, labeled by policy and further including binding and enforcement action taken.",
			[]float64{0.0000005, 0.001, 0.01, 0.1, 1.0}, "policy", "policy_binding", "error_type", "enforcement_action"),
	}
	r.MustRegister(a.steps, a.plugins, a.webhooks, a.rejections, a.failOpens, a.asked, a.policyChecks, a.policyDurations)
	return a
}

// Plugin implements [admission.Observer].
func (a *admissions) Plugin(name string, p admission.Phase, op admission.Operation, rejected bool, took time.Duration) {
	a.series(pluginKey{name, p, op, rejected}).Observe(took.Seconds())
}

// Step implements [admission.Observer].
func (a *admissions) Step(p admission.Phase, op admission.Operation, rejected bool, took time.Duration) {
	a.series(pluginKey{"", p, op, rejected}).Observe(took.Seconds())
}

func (a *admissions) series(k pluginKey) prometheus.Observer {
	if o, ok := a.pluginSeries.Load(k); ok {
		return o.(prometheus.Observer)
	}
	labels := []string{string(k.phase), string(k.op), strconv.FormatBool(k.rejected)}
	var made prometheus.Observer
	if k.name == "" {
		made = a.steps.WithLabelValues(labels...)
	} else {
		made = a.plugins.WithLabelValues(append([]string{k.name}, labels...)...)
	}
	o, _ := a.pluginSeries.LoadOrStore(k, made)
	return o.(prometheus.Observer)
}

// maxCode bounds the series that a webhook can make by its answers.
const maxCode = 600

// Webhook implements [admission.Observer].
func (a *admissions) Webhook(c admission.WebhookCall) {
	code, rejected := strconv.Itoa(min(c.Code, maxCode)), strconv.FormatBool(c.Rejected)
	a.webhooks.WithLabelValues(c.Name, string(c.Phase), string(c.Operation), rejected).Observe(c.Took.Seconds())
	a.asked.WithLabelValues(c.Name, string(c.Phase), string(c.Operation), code, rejected).Inc()
	if c.Rejected {
		a.rejections.WithLabelValues(c.Name, string(c.Phase), string(c.Operation), c.Failure, code).Inc()
	}
	if c.FailedOpen {
		a.failOpens.WithLabelValues(c.Name, string(c.Phase)).Inc()
	}
}

// Policy implements [admission.Observer].
func (a *admissions) Policy(policy, binding, failure, action string, took time.Duration) {
	a.policyChecks.WithLabelValues(policy, binding, failure, action).Inc()
	a.policyDurations.WithLabelValues(policy, binding, failure, action).Observe(took.Seconds())
}
