package podsecurity

import (
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/metrics"
)

// unmeasured is a metrics.Recorder that keeps nothing.
type unmeasured struct{}

func (unmeasured) RecordEvaluation(metrics.Decision, api.LevelVersion, metrics.Mode, api.Attributes) {
}
func (unmeasured) RecordExemption(api.Attributes)   {}
func (unmeasured) RecordError(bool, api.Attributes) {}
