package simulate

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/test/history"
)

// How long a cluster may take to converge once the faults have ended (a key
// that has failed for long is tried again after five minutes, and a pod on a
// node that was lost waits as long), and for how long nothing may be written
// then.
const (
	convergence = 40 * time.Minute
	silence     = 30 * time.Minute
	look        = 10 * time.Second
)

// converge waits until everything is as it was asked for, and then for silence.
func (w *world) converge(ctx context.Context) {
	began, patience := time.Now(), convergence+w.plan.setBack()
	var left string
	for {
		if left = w.audit.unsettled(); left == "" {
			break
		}
		if time.Since(began) > patience {
			w.failf("the cluster has not converged %v after the last fault: %s", patience, left)
			return
		}
		if sleep(ctx, look) != nil {
			return
		}
	}
	w.note("converged %v after the last fault", time.Since(began))
	for {
		quiet, key := w.audit.quiet()
		if quiet >= silence {
			return
		}
		if time.Since(began) > patience+silence {
			w.failf("the cluster does not fall silent: %s was written %v ago", key, quiet)
			return
		}
		if sleep(ctx, look) != nil {
			return
		}
	}
}

// unsettled returns something that is not yet as it was asked for, or "".
func (a *audit) unsettled() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, ns := range a.spaces {
		if ns.DeletionTimestamp != nil {
			return fmt.Sprintf("%s is being deleted: %+v, finalizers %v", key, ns.Status, ns.Spec.Finalizers)
		}
	}
	if len(a.nodes) != a.world.plan.nodes {
		return fmt.Sprintf("%d of %d nodes are registered", len(a.nodes), a.world.plan.nodes)
	}
	for _, n := range a.nodes {
		if len(n.Spec.Taints) > 0 {
			return fmt.Sprintf("node %s has the taints %v", n.Name, n.Spec.Taints)
		}
	}
	owners := map[string]bool{}
	for key, set := range a.sets {
		owners[string(set.UID)] = true
		o := metav1.GetControllerOf(set)
		if o == nil || set.DeletionTimestamp != nil || set.Status.Replicas != *set.Spec.Replicas {
			return fmt.Sprintf("%s asks for %d and has %+v", key, *set.Spec.Replicas, set.Status)
		}
		if !a.has(o.UID) {
			return key + " has an owner that is gone"
		}
	}
	for key, s := range a.stateful {
		owners[string(s.UID)] = true
		if want := *s.Spec.Replicas; s.DeletionTimestamp != nil || s.Status.ObservedGeneration != s.Generation || s.Status.Replicas != want ||
			s.Status.ReadyReplicas != want || s.Status.CurrentRevision != s.Status.UpdateRevision {
			return fmt.Sprintf("%s asks for %d and has %+v", key, want, s.Status)
		}
	}
	for key, d := range a.daemons {
		owners[string(d.UID)] = true
		if want := int32(len(a.nodes)); d.DeletionTimestamp != nil || d.Status.ObservedGeneration != d.Generation || d.Status.DesiredNumberScheduled != want ||
			d.Status.NumberReady != want || d.Status.UpdatedNumberScheduled != want || d.Status.NumberMisscheduled != 0 {
			return fmt.Sprintf("%s is for %d nodes and has %+v", key, want, d.Status)
		}
	}
	if left := a.unsettledRooms(); left != "" {
		return left
	}
	for key, p := range a.pods {
		switch o := metav1.GetControllerOf(p); {
		case o != nil && o.Kind == "Job":
			if !a.alive(o.UID) {
				return key + " has an owner that is gone"
			}
			if slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) {
				return key + " is not yet counted"
			}
		case o != nil && !owners[string(o.UID)]:
			return key + " has an owner that is gone"
		case p.DeletionTimestamp != nil:
			return key + " is being deleted"
		case !history.Finished(p) && !ready(p):
			return fmt.Sprintf("%s is not ready: %s on %q, %+v", key, p.Status.Phase, p.Spec.NodeName, p.Status.Conditions)
		case o != nil && history.Finished(p):
			return fmt.Sprintf("%s of a set has ended: %s %s", key, p.Status.Phase, p.Status.Reason)
		}
	}
	for key, d := range a.deployments {
		s := d.Status
		if want := *d.Spec.Replicas; d.DeletionTimestamp != nil || s.ObservedGeneration != d.Generation || s.Replicas != want || s.UpdatedReplicas != want || s.AvailableReplicas != want {
			return fmt.Sprintf("%s asks for %d and has %+v", key, want, s)
		}
	}
	return ""
}

// unsettledRooms is unsettled for jobs, custom resources and what hangs on them.
func (a *audit) unsettledRooms() string {
	for key, j := range a.jobs {
		if j.DeletionTimestamp != nil || outcome(j) == "" || j.Status.Active != 0 || j.Status.UncountedTerminatedPods != nil &&
			len(j.Status.UncountedTerminatedPods.Succeeded)+len(j.Status.UncountedTerminatedPods.Failed) > 0 {
			return fmt.Sprintf("%s has not ended: %+v", key, j.Status)
		}
		if outcome(j) == batchv1.JobComplete && j.Status.Succeeded != *j.Spec.Completions {
			return fmt.Sprintf("%s is complete with %d of %d", key, j.Status.Succeeded, *j.Spec.Completions)
		}
	}
	for key, d := range a.crds {
		if d.DeletionTimestamp != nil {
			return fmt.Sprintf("%s is being deleted: %+v", key, d.Status.Conditions)
		}
	}
	for key, page := range a.pages {
		for _, o := range page.OwnerReferences {
			if o.Kind == "Boat" && a.boats[customRoot(boatsResource)+page.Namespace+"/"+o.Name] != o.UID {
				return key + " has an owner that is gone"
			}
		}
	}
	return ""
}

// alive tells whether there is a job of a UID.
func (a *audit) alive(job types.UID) bool {
	for _, j := range a.jobs {
		if j.UID == job {
			return true
		}
	}
	return false
}

func (a *audit) has(uid any) bool {
	for _, d := range a.deployments {
		if d.UID == uid {
			return true
		}
	}
	return false
}

func ready(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}
