package hollow

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Timing is how long things take on a hollow node. Zero is at once.
type Timing struct {
	// Start is from the moment a pod is seen until its containers run.
	Start time.Duration
	// Ready is from then until it is ready.
	Ready time.Duration
	// Run is from Start's end until a pod that does not restart (restartPolicy
	// Never or OnFailure) has succeeded.
	Run time.Duration
	// Stop is from the deletion until the containers have ended; never longer
	// than the pod's grace period.
	Stop time.Duration
}

// DefaultTiming is that of small containers with their image present.
func DefaultTiming() Timing {
	return Timing{Start: 200 * time.Millisecond, Run: 10 * time.Second, Stop: 100 * time.Millisecond}
}

// runsOut reports whether the pod ends by itself.
func runsOut(p *v1.Pod) bool { return p.Spec.RestartPolicy != v1.RestartPolicyAlways }
