package status

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/node/pod"
	"proa/node/resize"
)

// Probe is what the probes say of one container instance.
type Probe struct {
	// Started is the startup probe's verdict, true without one.
	Started bool
	// Ready is the readiness probe's verdict, true without one.
	Ready bool
}

// Input is everything a status is made from.
type Input struct {
	// Pod is as it was granted, see package resize.
	Pod *v1.Pod
	// Given is what the runtime was last told of the containers' resources.
	Given resize.Granted
	// Resize are the conditions of a resize that is put off or under way.
	Resize []v1.PodCondition
	// Previous is the last status known for the pod.
	Previous v1.PodStatus
	Observed pod.Observed
	// Waiting reasons by container name.
	Waiting map[string]pod.Waiting
	// Probes by container ID.
	Probes map[string]Probe
	// Prepared is true once the pod's volumes are in place.
	Prepared bool
	// Stopping is true once the pod is being ended: nothing restarts.
	Stopping bool
	// Stopped is true once nothing of the pod can run again.
	Stopped bool
	// Finish holds reason and message of a pod that failed as a whole.
	Finish *pod.Finish
	// Conditions the agent sets besides the usual ones.
	Conditions []v1.PodCondition
	// HostIPs of the node, the primary first.
	HostIPs []string
	// Runtime is the name that prefixes container IDs.
	Runtime   string
	StartTime time.Time
	Now       time.Time
}

// Generate computes the pod's status. It keeps nothing of its input and changes
// nothing in it.
func Generate(in Input) v1.PodStatus {
	s := v1.PodStatus{
		ObservedGeneration: in.Pod.Generation,
		QOSClass:           in.Previous.QOSClass,
		NominatedNodeName:  in.Previous.NominatedNodeName,
	}
	if !in.StartTime.IsZero() {
		s.StartTime = &metav1.Time{Time: in.StartTime}
	}
	in.addresses(&s)

	s.InitContainerStatuses = in.containers(pod.Init)
	s.ContainerStatuses = in.containers(pod.App)
	s.EphemeralContainerStatuses = in.containers(pod.Ephemeral)
	if r := in.Pod.Spec.Resources; r != nil {
		s.AllocatedResources, s.Resources = r.Requests.DeepCopy(), r.DeepCopy()
		if in.Given.Pod != nil {
			s.Resources = in.Given.Pod.DeepCopy()
		}
	}
	if in.Stopped {
		closeContainers(&s, in.Previous)
	}

	s.Phase = in.phase(&s)
	if f := in.Finish; f != nil && f.Reason != "" {
		s.Phase, s.Reason, s.Message = v1.PodFailed, f.Reason, f.Message
	}
	if terminal(in.Previous.Phase) {
		// An end is final, and so is its explanation.
		s.Phase, s.Reason, s.Message = in.Previous.Phase, in.Previous.Reason, in.Previous.Message
	}
	s.Conditions = in.conditions(&s)
	return s
}

func terminal(p v1.PodPhase) bool { return p == v1.PodSucceeded || p == v1.PodFailed }

// addresses fills host and pod addresses. A pod that has ended keeps the
// addresses it had.
func (in *Input) addresses(s *v1.PodStatus) {
	if len(in.HostIPs) > 0 {
		s.HostIP = in.HostIPs[0]
		for _, ip := range in.HostIPs {
			s.HostIPs = append(s.HostIPs, v1.HostIP{IP: ip})
		}
	}
	var ips []string
	sandbox := in.Observed.ReadySandbox()
	switch {
	case in.Pod.Spec.HostNetwork:
		if sandbox != nil || len(in.Previous.PodIPs) > 0 {
			ips = in.HostIPs
		}
	case sandbox != nil:
		ips = sandbox.IPs
	default:
		for _, ip := range in.Previous.PodIPs {
			ips = append(ips, ip.IP)
		}
	}
	if len(ips) > 0 {
		s.PodIP = ips[0]
		for _, ip := range ips {
			s.PodIPs = append(s.PodIPs, v1.PodIP{IP: ip})
		}
	}
}
