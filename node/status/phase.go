package status

import (
	v1 "k8s.io/api/core/v1"

	"proa/node/pod"
)

// tally counts the containers of a pod by what they are doing, as far as the
// phase depends on it.
type tally struct {
	initPending    int // regular init containers not yet done
	initFailed     int // regular init containers whose last run failed
	initLost       int // of those, the ones that will not be repeated
	sidecarPending int // sidecars not yet started for the first time

	unknown, running, waiting, stopped, succeeded int
}

func (t *tally) init(p *v1.Pod, c *v1.Container, cs *v1.ContainerStatus) {
	failed := func(end *v1.ContainerStateTerminated) {
		if end.ExitCode == 0 {
			return
		}
		t.initFailed++
		if !pod.RestartsAfter(p, c, pod.Init, end.ExitCode) {
			t.initLost++
		}
	}
	switch {
	case cs == nil, cs.State.Running != nil:
		t.initPending++
	case cs.State.Terminated != nil:
		failed(cs.State.Terminated)
	case cs.State.Waiting != nil && cs.LastTerminationState.Terminated != nil:
		failed(cs.LastTerminationState.Terminated)
	default:
		t.initPending++
	}
}

func (t *tally) sidecar(cs *v1.ContainerStatus) {
	switch {
	case cs == nil:
		t.unknown++
	case cs.State.Running != nil:
		if cs.Started == nil || !*cs.Started {
			t.sidecarPending++
		}
		t.running++
	case cs.State.Terminated != nil:
	case cs.State.Waiting != nil:
		if cs.LastTerminationState.Terminated == nil {
			t.sidecarPending++
			t.waiting++
		}
	default:
		t.sidecarPending++
		t.unknown++
	}
}

func (t *tally) app(cs *v1.ContainerStatus) {
	switch {
	case cs == nil:
		t.unknown++
	case cs.State.Running != nil:
		t.running++
	case cs.State.Terminated != nil:
		t.stopped++
		if cs.State.Terminated.ExitCode == 0 {
			t.succeeded++
		}
	case cs.State.Waiting != nil:
		if cs.LastTerminationState.Terminated != nil {
			t.stopped++
		} else {
			t.waiting++
		}
	default:
		t.unknown++
	}
}

// phase derives the pod's phase from its container statuses.
func (in *Input) phase(s *v1.PodStatus) v1.PodPhase {
	spec := &in.Pod.Spec
	var t tally
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if cs := find(s.InitContainerStatuses, c.Name); pod.IsSidecar(c) {
			t.sidecar(cs)
		} else {
			t.init(in.Pod, c, cs)
		}
	}
	for i := range spec.Containers {
		t.app(find(s.ContainerStatuses, spec.Containers[i].Name))
	}

	if t.initLost > 0 || (t.initFailed > 0 && spec.RestartPolicy == v1.RestartPolicyNever) {
		return v1.PodFailed
	}
	phase := t.phase(in.Pod, s, in.Stopped, begun(spec, s.ContainerStatuses))
	if in.Stopped && phase != v1.PodSucceeded {
		// Nothing can run any more, so the pod did not make it.
		return v1.PodFailed
	}
	return phase
}

func (t *tally) phase(p *v1.Pod, s *v1.PodStatus, final, initialized bool) v1.PodPhase {
	switch {
	case t.initPending > 0,
		// Once the apps have run, a sidecar that restarts does not make the
		// pod pending again.
		t.sidecarPending > 0 && !initialized,
		t.waiting > 0:
		return v1.PodPending
	case t.running > 0 && t.unknown == 0:
		return v1.PodRunning
	case t.running == 0 && t.stopped > 0 && t.unknown == 0:
		return t.ended(p, s, final)
	}
	return v1.PodPending
}

// ended is the phase of a pod none of whose containers runs.
func (t *tally) ended(p *v1.Pod, s *v1.PodStatus, final bool) v1.PodPhase {
	if final {
		if t.stopped == t.succeeded {
			return v1.PodSucceeded
		}
		return v1.PodFailed
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		cs := find(s.ContainerStatuses, c.Name)
		if cs == nil || cs.State.Terminated == nil || pod.RestartsAfter(p, c, pod.App, cs.State.Terminated.ExitCode) {
			return v1.PodRunning // between two runs
		}
	}
	if t.stopped == t.succeeded {
		return v1.PodSucceeded
	}
	return v1.PodFailed
}

// find returns the named status, or nil.
func find(statuses []v1.ContainerStatus, name string) *v1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

// begun reports whether any app container of the pod has ever run.
func begun(spec *v1.PodSpec, statuses []v1.ContainerStatus) bool {
	for i := range spec.Containers {
		cs := find(statuses, spec.Containers[i].Name)
		if cs != nil && (cs.State.Running != nil || cs.State.Terminated != nil || cs.LastTerminationState.Terminated != nil) {
			return true
		}
	}
	return false
}
