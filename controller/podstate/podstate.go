// Package podstate answers what controllers ask about a pod.
package podstate

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finished reports whether no container of the pod will run again.
func Finished(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// Active reports whether the pod counts: it is neither finished nor being
// deleted.
func Active(p *v1.Pod) bool { return !Finished(p) && p.DeletionTimestamp == nil }

// Condition returns the condition of a type, or nil.
func Condition(p *v1.Pod, t v1.PodConditionType) *v1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// Ready reports whether the pod's Ready condition is true.
func Ready(p *v1.Pod) bool {
	c := Condition(p, v1.PodReady)
	return c != nil && c.Status == v1.ConditionTrue
}

// ReadySince is when the pod became ready, or zero.
func ReadySince(p *v1.Pod) metav1.Time {
	if c := Condition(p, v1.PodReady); c != nil && c.Status == v1.ConditionTrue {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}

// AvailableIn returns how long a ready pod must stay ready to be available; 0
// if it is.
func AvailableIn(p *v1.Pod, minReadySeconds int32, now time.Time) time.Duration {
	if minReadySeconds == 0 {
		return 0
	}
	due := ReadySince(p).Add(time.Duration(minReadySeconds) * time.Second)
	return max(0, due.Sub(now))
}
