package worker

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/node/pod"
	"proa/node/probe"
	"proa/node/status"
)

type probeState = probe.State

// view is what others may see of a worker, guarded by the worker's mutex.
type view struct {
	pod      *v1.Pod
	observed pod.Observed
	stopped  bool
	refused  bool
	orphan   bool
}

// syncProbes runs the probes of the running containers and returns their state.
// A container whose postStart hook is still under way is neither started nor
// ready.
func (w *worker) syncProbes() map[string]probeState {
	var targets []probe.Target
	ip := ""
	if s := w.observed.ReadySandbox(); s != nil && len(s.IPs) > 0 {
		ip = s.IPs[0]
	} else if w.desired.Spec.HostNetwork && len(w.cfg.Node.IPs) > 0 {
		ip = w.cfg.Node.IPs[0]
	}
	for i := range w.observed.Containers {
		c := &w.observed.Containers[i]
		if c.State != pod.Running {
			continue
		}
		spec, kind := pod.Find(w.desired, c.Name)
		if spec == nil || kind == pod.Ephemeral || (kind == pod.Init && !pod.IsSidecar(spec)) {
			continue
		}
		if w.starting[c.Name] {
			continue
		}
		started, ready := w.was(c)
		targets = append(targets, probe.Target{
			Pod: w.desired, Container: spec, ID: c.ID, StartedAt: c.StartedAt, IP: ip,
			WasStarted: started, WasReady: ready,
			Stopping: w.stop != nil,
			Notify:   w.poke,
		})
	}
	return w.cfg.Probes.Sync(w.uid, targets)
}

// was tells what the last known status said of this very instance.
func (w *worker) was(c *pod.Container) (started, ready bool) {
	id := w.cfg.RuntimeName + "://" + c.ID
	for _, list := range [][]v1.ContainerStatus{w.previous.InitContainerStatuses, w.previous.ContainerStatuses} {
		for i := range list {
			if cs := &list[i]; cs.ContainerID == id && cs.State.Running != nil {
				return cs.Started != nil && *cs.Started, cs.Ready
			}
		}
	}
	return false, false
}

// holdStatus is how long a status may be held back because a better one follows.
const holdStatus = 500 * time.Millisecond

// publish hands the pod's present status to the writer, or holds it back and
// returns when to look again.
func (w *worker) publish(now time.Time, probes map[string]probeState) time.Time {
	stopped := w.teardown.done
	w.mu.Lock()
	free := !w.view.stopped && stopped
	w.view = view{pod: w.desired, observed: w.observed, stopped: stopped, refused: w.rejected != nil, orphan: w.orphan}
	w.mu.Unlock()
	if free {
		w.freed()
	}
	if w.orphan {
		return time.Time{}
	}
	if r := w.rejected; r != nil {
		w.finalize(v1.PodStatus{
			ObservedGeneration: w.desired.Generation,
			Phase:              v1.PodFailed,
			Reason:             r.Reason,
			Message:            "Pod was rejected: " + r.Message,
			StartTime:          &metav1.Time{Time: w.start},
		}, stopped)
		return time.Time{}
	}
	states := make(map[string]status.Probe, len(probes))
	for id, s := range probes {
		states[id] = status.Probe{Started: s.Started, Ready: s.Ready}
	}
	s := status.Generate(status.Input{
		Pod:        w.desired,
		Previous:   w.previous,
		Observed:   w.observed,
		Given:      w.resizing.given,
		Resize:     w.resizing.conditions(),
		Waiting:    w.reasons,
		Probes:     states,
		Prepared:   w.setup.volumesReady,
		Stopping:   w.stop != nil,
		Stopped:    stopped,
		Finish:     w.finish,
		Conditions: w.conditions,
		HostIPs:    w.cfg.Node.IPs,
		Runtime:    w.cfg.RuntimeName,
		StartTime:  w.start,
		Now:        now,
	})
	if !w.superseded(&s) {
		w.held = time.Time{}
	} else {
		if w.held.IsZero() {
			w.held = now
		}
		if due := w.held.Add(holdStatus); now.Before(due) {
			w.previous = s
			return due
		}
	}
	w.finalize(s, stopped)
	return time.Time{}
}

// superseded reports whether a status tells little and is about to be overtaken,
// so that sending it would only be one more write: between sandbox and
// containers, and between the end of the containers and the end of the pod.
func (w *worker) superseded(s *v1.PodStatus) bool {
	switch {
	case w.sent == "":
		return false
	case w.stop != nil:
		return !w.teardown.done && !w.observed.Active()
	case s.Phase != v1.PodPending || w.sent != v1.PodPending || len(w.starting) == 0:
		return false
	}
	ran := func(cs v1.ContainerStatus) bool { return cs.State.Waiting == nil }
	return len(w.reasons) == 0 && !slices.ContainsFunc(s.ContainerStatuses, ran) && !slices.ContainsFunc(s.InitContainerStatuses, ran)
}

// finalize hands a status over, and asks for the pod's final deletion when it is
// due.
func (w *worker) finalize(s v1.PodStatus, stopped bool) {
	w.previous, w.sent = s, s.Phase
	w.cfg.Statuses.Set(w.uid, s)
	if stopped && w.desired.DeletionTimestamp != nil {
		w.cfg.Statuses.Finalize(w.uid)
	}
}
