package admission

import "time"

// Phase is one of the two passes of a write through the plugins.
type Phase string

// The phases, by the names that upstream's metrics have for them.
const (
	Admit    Phase = "admit"
	Validate Phase = "validate"
	// Validating is the second phase in the metrics of webhooks.
	Validating Phase = "validating"
)

// Observer is told of what admission does, for metrics. Its methods must be quick,
// and safe for concurrent use.
type Observer interface {
	// Plugin is one plugin's work on a write, and Step that of all of them.
	Plugin(name string, p Phase, op Operation, rejected bool, took time.Duration)
	Step(p Phase, op Operation, rejected bool, took time.Duration)
	// Webhook is one question to a webhook.
	Webhook(WebhookCall)
	// Policy is a validation of a policy that did not hold, or failed, and what came
	// of it: allow, deny, warn or audit.
	Policy(policy, binding, failure, action string, took time.Duration)
}

// How a question to a webhook failed, where it did.
const (
	NoError       = "no_error"
	CallError     = "calling_webhook_error"
	InternalError = "apiserver_internal_error"
)

// WebhookCall is one question to a webhook, and what came of it.
type WebhookCall struct {
	Name      string
	Phase     Phase
	Operation Operation
	Took      time.Duration
	// Rejected: the write was refused for it; FailedOpen: it goes on although there
	// was no answer.
	Rejected, FailedOpen bool
	// Failure is NoError, CallError or InternalError, and Code the HTTP status of
	// the answer, 0 where there was none.
	Failure string
	Code    int
}

// stopwatch times the plugins of one phase, one after the other.
type stopwatch struct {
	a           *Attributes
	phase       Phase
	begun, last time.Time
}

func (a *Attributes) time(p Phase) stopwatch {
	if a.Observe == nil {
		return stopwatch{}
	}
	now := time.Now()
	return stopwatch{a, p, now, now}
}

// plugin is called when one plugin is done.
func (s *stopwatch) plugin(p Plugin, err error) {
	if s.a == nil {
		return
	}
	now := time.Now()
	s.a.Observe.Plugin(p.Name(), s.phase, s.a.Operation, err != nil, now.Sub(s.last))
	s.last = now
}

// step is called when all are.
func (s *stopwatch) step(err error) {
	if s.a != nil {
		s.a.Observe.Step(s.phase, s.a.Operation, err != nil, time.Since(s.begun))
	}
}
