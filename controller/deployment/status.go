package deployment

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of the Progressing and Available conditions.
const (
	reasonNewSet       = "NewReplicaSetCreated"
	reasonFoundSet     = "FoundNewReplicaSet"
	reasonUpdated      = "ReplicaSetUpdated"
	reasonComplete     = "NewReplicaSetAvailable"
	reasonTimedOut     = "ProgressDeadlineExceeded"
	reasonPaused       = "DeploymentPaused"
	reasonResumed      = "DeploymentResumed"
	reasonAvailable    = "MinimumReplicasAvailable"
	reasonUnavailable  = "MinimumReplicasUnavailable"
	messageAvailable   = "Deployment has minimum availability."
	messageUnavailable = "Deployment does not have minimum availability."
)

// observe computes the status. p is the plan that is about to be carried out,
// nil where nothing will be; its again is set where the progress deadline will
// have to be looked at.
func observe(v *view, fresh *appsv1.ReplicaSet, p *plan) appsv1.DeploymentStatus {
	d := v.d
	all := func(f func(*appsv1.ReplicaSet) int32) int32 { return sum(v.sets, f) }
	replicas := func(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas }
	st := appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation,
		Replicas:           all(replicas),
		UpdatedReplicas:    sum([]*appsv1.ReplicaSet{fresh}, replicas),
		ReadyReplicas:      all(func(rs *appsv1.ReplicaSet) int32 { return rs.Status.ReadyReplicas }),
		AvailableReplicas:  all(availableOf),
		CollisionCount:     d.Status.CollisionCount,
		Conditions:         slices.Clone(d.Status.Conditions),
	}
	terminating := all(func(rs *appsv1.ReplicaSet) int32 {
		if rs.Status.TerminatingReplicas == nil {
			return 0
		}
		return *rs.Status.TerminatingReplicas
	})
	st.TerminatingReplicas = &terminating
	st.UnavailableReplicas = max(0, all(sizeOf)-st.AvailableReplicas)
	c := conditions{&st.Conditions, metav1.NewTime(v.now)}

	_, unavailable := bounds(d)
	if st.AvailableReplicas >= wanted(d)-unavailable {
		c.set(appsv1.DeploymentAvailable, v1.ConditionTrue, reasonAvailable, messageAvailable)
	} else {
		c.set(appsv1.DeploymentAvailable, v1.ConditionFalse, reasonUnavailable, messageUnavailable)
	}
	if failed := replicaFailure(v.sets, fresh); failed != nil {
		c.set(appsv1.DeploymentReplicaFailure, v1.ConditionTrue, failed.Reason, failed.Message)
	} else {
		c.remove(appsv1.DeploymentReplicaFailure)
	}
	if p == nil {
		return st
	}
	if d.Spec.ProgressDeadlineSeconds == nil || *d.Spec.ProgressDeadlineSeconds == 1<<31-1 {
		c.remove(appsv1.DeploymentProgressing)
		return st
	}
	p.again = progress(v, fresh, p, &st, c)
	return st
}

// progress keeps the Progressing condition and returns when the deadline has
// to be looked at next.
func progress(v *view, fresh *appsv1.ReplicaSet, p *plan, st *appsv1.DeploymentStatus, c conditions) time.Duration {
	d := v.d
	was := conditionOf(d, appsv1.DeploymentProgressing)
	if d.Spec.Paused {
		if was == nil || was.Reason != reasonPaused {
			c.set(appsv1.DeploymentProgressing, v1.ConditionUnknown, reasonPaused, "Deployment is paused")
		}
		return 0
	}
	name := fmt.Sprintf("Deployment %q", d.Name)
	if fresh != nil {
		name = fmt.Sprintf("ReplicaSet %q", fresh.Name)
	}
	switch {
	case was != nil && was.Reason == reasonPaused:
		c.set(appsv1.DeploymentProgressing, v1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	case was != nil && was.Reason == reasonComplete && st.Replicas == st.UpdatedReplicas && !p.create:
		// A finished rollout stays finished whatever happens to its pods.
		return 0
	case isComplete(d, st):
		c.set(appsv1.DeploymentProgressing, v1.ConditionTrue, reasonComplete, name+" has successfully progressed.")
		return 0
	case fresh != nil && was == nil:
		c.set(appsv1.DeploymentProgressing, v1.ConditionTrue, reasonFoundSet, fmt.Sprintf("Found new replica set %q", fresh.Name))
	case moved(&d.Status, st):
		c.touch(appsv1.DeploymentProgressing, v1.ConditionTrue, reasonUpdated, name+" is progressing.")
	case was != nil && timedOut(d, was, v.now):
		c.set(appsv1.DeploymentProgressing, v1.ConditionFalse, reasonTimedOut, name+" has timed out progressing.")
		return 0
	}
	if now := c.find(appsv1.DeploymentProgressing); now != nil && now.Reason != reasonTimedOut {
		// One second later than due, so that the look is not a moment early.
		due := now.LastUpdateTime.Add(deadline(d) + time.Second)
		return max(time.Second, due.Sub(v.now))
	}
	return 0
}

func isComplete(d *appsv1.Deployment, st *appsv1.DeploymentStatus) bool {
	return st.UpdatedReplicas == wanted(d) && st.Replicas == wanted(d) && st.AvailableReplicas == wanted(d)
}

// moved reports whether the rollout has come closer to its end.
func moved(was, is *appsv1.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas ||
		is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas || is.AvailableReplicas > was.AvailableReplicas
}

func deadline(d *appsv1.Deployment) time.Duration {
	return time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
}

func timedOut(d *appsv1.Deployment, c *appsv1.DeploymentCondition, now time.Time) bool {
	return c.Reason == reasonTimedOut || c.Reason != reasonComplete && now.After(c.LastUpdateTime.Add(deadline(d)))
}

func replicaFailure(sets []*appsv1.ReplicaSet, fresh *appsv1.ReplicaSet) *appsv1.ReplicaSetCondition {
	var found *appsv1.ReplicaSetCondition
	for _, rs := range sets {
		for i := range rs.Status.Conditions {
			c := &rs.Status.Conditions[i]
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == v1.ConditionTrue && (found == nil || rs == fresh) {
				found = c
			}
		}
	}
	return found
}

// conditions is a list under change at one time.
type conditions struct {
	list *[]appsv1.DeploymentCondition
	now  metav1.Time
}

func (c conditions) find(t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range *c.list {
		if (*c.list)[i].Type == t {
			return &(*c.list)[i]
		}
	}
	return nil
}

// set changes a condition unless status and reason are what they were.
func (c conditions) set(t appsv1.DeploymentConditionType, status v1.ConditionStatus, reason, message string) {
	if was := c.find(t); was != nil && was.Status == status && was.Reason == reason {
		return
	}
	c.touch(t, status, reason, message)
}

// touch changes a condition and its update time.
func (c conditions) touch(t appsv1.DeploymentConditionType, status v1.ConditionStatus, reason, message string) {
	is := appsv1.DeploymentCondition{Type: t, Status: status, Reason: reason, Message: message, LastUpdateTime: c.now, LastTransitionTime: c.now}
	if was := c.find(t); was != nil {
		if was.Status == status {
			is.LastTransitionTime = was.LastTransitionTime
		}
		*was = is
		return
	}
	*c.list = append(*c.list, is)
}

func (c conditions) remove(t appsv1.DeploymentConditionType) {
	*c.list = slices.DeleteFunc(*c.list, func(x appsv1.DeploymentCondition) bool { return x.Type == t })
}
