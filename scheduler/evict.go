package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// evict deletes the victims of a preemption, each with a condition that says why.
func (s *Scheduler) evict(ctx context.Context, pod *v1.Pod, p *preemption) {
	var errs []error
	for _, victim := range p.victims {
		if victim.DeletionTimestamp != nil {
			continue
		}
		if err := s.evictOne(ctx, victim); err != nil {
			errs = append(errs, fmt.Errorf("%s/%s: %w", victim.Namespace, victim.Name, err))
			continue
		}
		s.config.Events.Eventf(victim, pod, v1.EventTypeNormal, "Preempted", "Preempting",
			"Preempted by pod %v on node %v", pod.UID, p.node)
	}
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		s.config.Log.Warn("pods could not be preempted; another try will be made", "for", pod.Namespace+"/"+pod.Name, "node", p.node, "err", err)
		s.mail.put(event{kind: evictionFailed, pod: pod})
	}
}

func (s *Scheduler) evictOne(ctx context.Context, victim *v1.Pod) error {
	pods := s.config.Client.CoreV1().Pods(victim.Namespace)
	patch, err := json.Marshal(statusPatch(victim.UID, v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonPreemptionByScheduler,
		Message:            s.config.Name + ": preempting to accommodate a higher priority pod",
		ObservedGeneration: victim.Generation, LastTransitionTime: metav1.Now(),
	}, nil))
	if err == nil {
		_, err = pods.Patch(ctx, victim.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err == nil {
		err = pods.Delete(ctx, victim.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(victim.UID))})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it has gone already
	}
	return err
}
