package status

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/node/pod"
)

// Reasons of the pod's conditions.
const (
	reasonUnknownStatuses   = "UnknownContainerStatuses"
	reasonPodCompleted      = "PodCompleted"
	reasonPodFailed         = "PodFailed"
	reasonNotReady          = "ContainersNotReady"
	reasonNotInitialized    = "ContainersNotInitialized"
	reasonGatesNotReady     = "ReadinessGatesNotReady"
	messageUnknownStatus    = "containers with unknown status: %s"
	messageUnreadyStatus    = "containers with unready status: %s"
	messageIncompleteStatus = "containers with incomplete status: %s"
)

// Owned reports whether the agent, and nobody else, sets a condition.
func Owned(t v1.PodConditionType) bool {
	switch t {
	case v1.PodReadyToStartContainers, v1.PodInitialized, v1.PodReady, v1.ContainersReady, v1.PodScheduled,
		v1.PodResizePending, v1.PodResizeInProgress, v1.AllContainersRestarting:
		return true
	}
	return false
}

// conditions returns the conditions the agent sets. One whose status did not
// change keeps its transition time. Those of others are left to the writer, which
// knows their newest state.
func (in *Input) conditions(s *v1.PodStatus) []v1.PodCondition {
	containersReady := in.containersReady(s)
	out := []v1.PodCondition{
		in.readyToStart(),
		in.initialized(s),
		in.ready(containersReady),
		containersReady,
		{Type: v1.PodScheduled, Status: v1.ConditionTrue},
	}
	out = append(out, in.Conditions...)
	for i := range out {
		out[i].ObservedGeneration = in.Pod.Generation
	}
	// These are about the generation that asked for the resize.
	out = append(out, in.Resize...)
	for i := range out {
		c := &out[i]
		c.LastTransitionTime = metav1.NewTime(in.Now)
		if old := condition(in.Previous.Conditions, c.Type); old != nil && old.Status == c.Status && !old.LastTransitionTime.IsZero() {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return out
}

func condition(list []v1.PodCondition, t v1.PodConditionType) *v1.PodCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

func truth(t v1.PodConditionType, ok bool) v1.PodCondition {
	if ok {
		return v1.PodCondition{Type: t, Status: v1.ConditionTrue}
	}
	return v1.PodCondition{Type: t, Status: v1.ConditionFalse}
}

func no(t v1.PodConditionType, reason, message string) v1.PodCondition {
	return v1.PodCondition{Type: t, Status: v1.ConditionFalse, Reason: reason, Message: message}
}

// readyToStart: sandbox, network and volumes are there.
func (in *Input) readyToStart() v1.PodCondition {
	s := in.Observed.ReadySandbox()
	return truth(v1.PodReadyToStartContainers, in.Prepared && s != nil && (s.HostNetwork || len(s.IPs) > 0))
}

// initialized: the init containers have done their work.
func (in *Input) initialized(s *v1.PodStatus) v1.PodCondition {
	const t = v1.PodInitialized
	var unknown, incomplete []string
	for i := range in.Pod.Spec.InitContainers {
		c := &in.Pod.Spec.InitContainers[i]
		cs := find(s.InitContainerStatuses, c.Name)
		switch {
		case cs == nil:
			unknown = append(unknown, c.Name)
		case pod.IsSidecar(c):
			if cs.Started == nil || !*cs.Started {
				incomplete = append(incomplete, c.Name)
			}
		case !cs.Ready:
			incomplete = append(incomplete, c.Name)
		}
	}
	if s.Phase == v1.PodSucceeded && len(unknown) == 0 {
		return v1.PodCondition{Type: t, Status: v1.ConditionTrue, Reason: reasonPodCompleted}
	}
	if begun(&in.Pod.Spec, s.ContainerStatuses) {
		return truth(t, true)
	}
	if m := join(messageUnknownStatus, unknown, messageIncompleteStatus, incomplete); m != "" {
		return no(t, reasonNotInitialized, m)
	}
	return truth(t, true)
}

// containersReady: every app container and sidecar is ready.
func (in *Input) containersReady(s *v1.PodStatus) v1.PodCondition {
	const t = v1.ContainersReady
	var unknown, unready []string
	note := func(name string, cs *v1.ContainerStatus) {
		if cs == nil {
			unknown = append(unknown, name)
		} else if !cs.Ready {
			unready = append(unready, name)
		}
	}
	for i := range in.Pod.Spec.InitContainers {
		if c := &in.Pod.Spec.InitContainers[i]; pod.IsSidecar(c) {
			note(c.Name, find(s.InitContainerStatuses, c.Name))
		}
	}
	for i := range in.Pod.Spec.Containers {
		name := in.Pod.Spec.Containers[i].Name
		note(name, find(s.ContainerStatuses, name))
	}
	if len(unknown) == 0 {
		switch s.Phase {
		case v1.PodSucceeded:
			return no(t, reasonPodCompleted, "")
		case v1.PodFailed:
			return no(t, reasonPodFailed, "")
		}
	}
	if m := join(messageUnknownStatus, unknown, messageUnreadyStatus, unready); m != "" {
		return no(t, reasonNotReady, m)
	}
	return truth(t, true)
}

// ready: the containers are ready and so say all readiness gates.
func (in *Input) ready(containers v1.PodCondition) v1.PodCondition {
	const t = v1.PodReady
	if containers.Status != v1.ConditionTrue {
		return v1.PodCondition{Type: t, Status: containers.Status, Reason: containers.Reason, Message: containers.Message}
	}
	var messages []string
	for _, gate := range in.Pod.Spec.ReadinessGates {
		// Gates are set by others, through the API.
		c := condition(in.Pod.Status.Conditions, gate.ConditionType)
		if c == nil {
			messages = append(messages, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		} else if c.Status != v1.ConditionTrue {
			messages = append(messages, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, c.Status))
		}
	}
	if len(messages) > 0 {
		return no(t, reasonGatesNotReady, strings.Join(messages, ", "))
	}
	return truth(t, true)
}

// join writes up to two lists of container names, each with its own format.
func join(format1 string, names1 []string, format2 string, names2 []string) string {
	var out []string
	if len(names1) > 0 {
		out = append(out, fmt.Sprintf(format1, names1))
	}
	if len(names2) > 0 {
		out = append(out, fmt.Sprintf(format2, names2))
	}
	return strings.Join(out, ", ")
}
