package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// binding is a decision to be carried out.
type binding struct {
	pod      *v1.Pod
	decision Decision
	// preempt is who has to leave for the pod, where somebody has.
	preempt *preemption
	// nominate is the node that the pod's status is to name, nil for no change.
	nominate *string
}

// carryOut tells the API what was decided. It runs beside the loop.
func (s *Scheduler) carryOut(ctx context.Context, b *binding) {
	if b.decision.Node == "" {
		s.tellUnschedulable(ctx, b)
		if b.preempt != nil {
			s.evict(ctx, b.pod, b.preempt)
		}
		return
	}
	pod := b.pod
	err := s.config.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: b.decision.Node},
	}, metav1.CreateOptions{})
	if err != nil && !unmade(err) {
		err = s.settle(ctx, b, err)
	}
	if err != nil {
		if ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			s.config.Log.Warn("binding failed and will be retried", "pod", pod.Namespace+"/"+pod.Name, "node", b.decision.Node, "err", err)
		}
		s.mail.put(event{kind: bindFailed, pod: pod})
		return
	}
	s.config.Events.Eventf(pod, nil, v1.EventTypeNormal, "Scheduled", "Binding",
		"Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, b.decision.Node)
}

// unmade tells whether an error says for certain that nothing was written.
// Whatever else comes back may stand for a binding whose answer was lost, and a
// conflict often does: the pod is bound already.
func unmade(err error) bool {
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		return false
	}
	code := s.Status().Code
	return code >= 400 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusConflict
}

// Waits between the attempts to find out what became of a binding.
const (
	firstAsk = 50 * time.Millisecond
	lastAsk  = 5 * time.Second
)

// settle finds out what became of a binding that was answered with err. It
// returns nil where the pod is bound, which the watch will confirm. Until it
// returns the pod counts on its node: were its room given to others while it is
// bound and the watch has not said so yet, the node would be overcommitted.
func (s *Scheduler) settle(ctx context.Context, b *binding, err error) error {
	for wait := firstAsk; ; wait = min(2*wait, lastAsk) {
		live, failed := s.config.Client.CoreV1().Pods(b.pod.Namespace).Get(ctx, b.pod.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(failed):
			return failed
		case failed == nil && live.UID == b.pod.UID && live.Spec.NodeName != "":
			return nil
		case failed == nil || unmade(failed):
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// tellUnschedulable records why a pod fits nowhere, in its condition and as an
// event. The condition is written only where it says something new, or the pod
// gets another nomination.
func (s *Scheduler) tellUnschedulable(ctx context.Context, b *binding) {
	pod, why := b.pod, b.decision.Message
	s.config.Events.Eventf(pod, nil, v1.EventTypeWarning, "FailedScheduling", "Scheduling", "%s", why)
	cond := v1.PodCondition{
		Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1.PodReasonUnschedulable, Message: why,
		ObservedGeneration: pod.Generation, LastTransitionTime: metav1.Now(),
	}
	for _, was := range pod.Status.Conditions {
		if was.Type != cond.Type {
			continue
		}
		if was.Status == cond.Status && was.Reason == cond.Reason && was.Message == cond.Message && was.ObservedGeneration == cond.ObservedGeneration && b.nominate == nil {
			return
		}
		if was.Status == cond.Status {
			cond.LastTransitionTime = was.LastTransitionTime
		}
	}
	patch, err := json.Marshal(statusPatch(pod.UID, cond, b.nominate))
	if err == nil {
		_, err = s.config.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) {
		s.config.Log.Warn("the PodScheduled condition could not be written", "pod", pod.Namespace+"/"+pod.Name, "err", err)
	}
}

// podStatus is what the scheduler says of a pod.
type podStatus struct {
	Metadata struct {
		UID types.UID `json:"uid"`
	} `json:"metadata"`
	Status struct {
		Conditions        []v1.PodCondition `json:"conditions"`
		NominatedNodeName *string           `json:"nominatedNodeName,omitempty"`
	} `json:"status"`
}

// statusPatch is for exactly this pod, not for one of the same name.
func statusPatch(uid types.UID, cond v1.PodCondition, nominate *string) (p podStatus) {
	p.Metadata.UID = uid
	p.Status.Conditions = []v1.PodCondition{cond}
	p.Status.NominatedNodeName = nominate
	return p
}
