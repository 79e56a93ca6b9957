package status

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/pod"
)

// Reasons and messages of container states.
const (
	reasonContainerCreating = "ContainerCreating"
	reasonPodInitializing   = "PodInitializing"
	reasonStatusUnknown     = "ContainerStatusUnknown"
	messageLostDeleted      = "The container could not be located when the pod was deleted.  The container used to be Running"
	messageLostTerminated   = "The container could not be located when the pod was terminated"
	exitCodeUnknown         = 137
)

// containers makes the statuses of all containers of one kind.
func (in *Input) containers(kind pod.Kind) []v1.ContainerStatus {
	var out []v1.ContainerStatus
	spec := &in.Pod.Spec
	switch kind {
	case pod.Init:
		for i := range spec.InitContainers {
			out = append(out, in.container(&spec.InitContainers[i], kind, find(in.Previous.InitContainerStatuses, spec.InitContainers[i].Name)))
		}
		return out // in the order of the spec, which is the order they run in
	case pod.Ephemeral:
		for i := range spec.EphemeralContainers {
			c := (*v1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)
			out = append(out, in.container(c, kind, find(in.Previous.EphemeralContainerStatuses, c.Name)))
		}
	default:
		for i := range spec.Containers {
			out = append(out, in.container(&spec.Containers[i], kind, find(in.Previous.ContainerStatuses, spec.Containers[i].Name)))
		}
	}
	slices.SortFunc(out, func(a, b v1.ContainerStatus) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// container makes the status of one container from its instances, the newest of
// which is the state and the one before it the last termination.
func (in *Input) container(c *v1.Container, kind pod.Kind, old *v1.ContainerStatus) v1.ContainerStatus {
	cur, prior := in.instances(c.Name)
	var s v1.ContainerStatus
	if cur == nil {
		s = in.absent(c, kind, old)
	} else {
		s = in.present(c, cur, old)
		if prior != nil {
			s.LastTerminationState = in.state(prior)
		} else if old != nil && cur.RestartCount == old.RestartCount {
			s.LastTerminationState = old.LastTerminationState
		} else if old != nil && old.State.Terminated != nil && cur.RestartCount > 0 {
			s.LastTerminationState = v1.ContainerState{Terminated: old.State.Terminated}
		}
	}

	// A container that is to run again, or could not be started, shows why it
	// waits, and its end as the last state.
	if w, ok := in.Waiting[c.Name]; ok && !in.Stopping && s.State.Running == nil {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		s.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}}
	}
	in.readiness(&s, c, kind, cur)
	return s
}

// instances returns the newest and the next newest instance.
func (in *Input) instances(name string) (cur, prior *pod.Container) {
	for i := range in.Observed.Containers {
		if c := &in.Observed.Containers[i]; c.Name == name {
			if cur == nil {
				cur = c
			} else if c.State == pod.Exited {
				return cur, c
			}
		}
	}
	return cur, nil
}

// absent is the status of a container the runtime does not have.
func (in *Input) absent(c *v1.Container, kind pod.Kind, old *v1.ContainerStatus) v1.ContainerStatus {
	reason := reasonContainerCreating
	if len(in.Pod.Spec.InitContainers) > 0 {
		reason = reasonPodInitializing
	}
	s := v1.ContainerStatus{
		Name:  c.Name,
		Image: c.Image,
		State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason}},
	}
	if old == nil {
		return s
	}
	s.RestartCount, s.LastTerminationState = old.RestartCount, old.LastTerminationState
	switch {
	case old.State.Terminated != nil:
		// What has ended may be removed from the runtime at any time.
		s = *old.DeepCopy()
		s.Started, s.Ready = nil, false
	case old.State.Running != nil && in.Stopping:
		s.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: reasonStatusUnknown, Message: messageLostDeleted, ExitCode: exitCodeUnknown}}
		s.ContainerID, s.ImageID, s.Image = old.ContainerID, old.ImageID, old.Image
	case old.State.Running != nil:
		s.LastTerminationState = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: reasonStatusUnknown, Message: messageLostDeleted, ExitCode: exitCodeUnknown}}
		s.RestartCount++
	}
	return s
}

// present is the status of an instance.
func (in *Input) present(c *v1.Container, cur *pod.Container, old *v1.ContainerStatus) v1.ContainerStatus {
	s := v1.ContainerStatus{
		Name:               c.Name,
		Image:              cur.Image,
		ImageID:            cur.ImageRef,
		ContainerID:        in.id(cur.ID),
		RestartCount:       cur.RestartCount,
		State:              in.state(cur),
		AllocatedResources: c.Resources.Requests.DeepCopy(),
		Resources:          in.resources(c, cur),
		VolumeMounts:       mounts(c),
		User:               user(cur.User),
	}
	if s.User == nil && old != nil && old.ContainerID == s.ContainerID {
		s.User = old.User.DeepCopy()
	}
	return s
}

func (in *Input) id(id string) string { return in.Runtime + "://" + id }

func (in *Input) state(c *pod.Container) v1.ContainerState {
	switch c.State {
	case pod.Running:
		return v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(c.StartedAt)}}
	case pod.Created:
		return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reasonContainerCreating}}
	case pod.Exited:
		t := &v1.ContainerStateTerminated{
			ExitCode:    c.ExitCode,
			Reason:      c.Reason,
			Message:     c.Message,
			FinishedAt:  metav1.NewTime(c.FinishedAt),
			ContainerID: in.id(c.ID),
		}
		if !c.StartedAt.IsZero() {
			t.StartedAt = metav1.NewTime(c.StartedAt)
		}
		return v1.ContainerState{Terminated: t}
	}
	return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reasonContainerCreating}}
}

// readiness fills Started and Ready.
func (in *Input) readiness(s *v1.ContainerStatus, c *v1.Container, kind pod.Kind, cur *pod.Container) {
	if kind == pod.Ephemeral {
		return
	}
	started := false
	if s.State.Running != nil && cur != nil {
		p := in.Probes[cur.ID]
		started = p.Started
		s.Ready = p.Started && p.Ready && !(kind == pod.Init && !pod.IsSidecar(c))
	}
	if kind == pod.Init && !pod.IsSidecar(c) && s.State.Terminated != nil && s.State.Terminated.ExitCode == 0 {
		s.Ready = true
	}
	s.Started = &started
}

// minQuota is the least CPU limit that the kernel enforces, in thousandths of a CPU.
const minQuota = 10

// resources are the container's effective requests and limits: those that the
// runtime was told, with what it says it enforces in place of the limits. A
// container that does not run will have what its pod was granted.
func (in *Input) resources(c *v1.Container, cur *pod.Container) *v1.ResourceRequirements {
	if cur.State != pod.Running {
		return c.Resources.DeepCopy()
	}
	out := c.Resources.DeepCopy()
	if given, ok := in.Given.Containers[c.Name]; ok {
		out = given.DeepCopy()
	}
	linux := cur.Resources.GetLinux()
	if linux == nil {
		return out
	}
	set := func(name v1.ResourceName, q *resource.Quantity) {
		if old, ok := out.Limits[name]; ok && old.Cmp(*q) != 0 {
			out.Limits[name] = *q
		}
	}
	if linux.CpuQuota > 0 && linux.CpuPeriod > 0 {
		if milli := linux.CpuQuota * 1000 / linux.CpuPeriod; milli > minQuota || out.Limits.Cpu().MilliValue() > minQuota {
			set(v1.ResourceCPU, resource.NewMilliQuantity(milli, resource.DecimalSI))
		}
	}
	if linux.MemoryLimitInBytes > 0 {
		set(v1.ResourceMemory, resource.NewQuantity(linux.MemoryLimitInBytes, resource.BinarySI))
	}
	return out
}

// mounts describes the volume mounts. Recursive read-only is only ever claimed
// where the spec demands it, in which case the container would not have started
// without it.
func mounts(c *v1.Container) []v1.VolumeMountStatus {
	var out []v1.VolumeMountStatus
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		s := v1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := v1.RecursiveReadOnlyDisabled
			if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly == v1.RecursiveReadOnlyEnabled {
				mode = v1.RecursiveReadOnlyEnabled
			}
			s.RecursiveReadOnly = &mode
		}
		out = append(out, s)
	}
	return out
}

func user(u *runtimeapi.ContainerUser) *v1.ContainerUser {
	linux := u.GetLinux()
	if linux == nil {
		return nil
	}
	return &v1.ContainerUser{Linux: &v1.LinuxContainerUser{
		UID:                linux.GetUid(),
		GID:                linux.GetGid(),
		SupplementalGroups: slices.Clone(linux.GetSupplementalGroups()),
	}}
}

// closeContainers gives every container of an ended pod that ever ran a final
// state, since no later observation will.
func closeContainers(s *v1.PodStatus, previous v1.PodStatus) {
	closeList := func(list, old []v1.ContainerStatus) {
		for i := range list {
			cs := &list[i]
			if cs.State.Terminated != nil {
				continue
			}
			was := find(old, cs.Name)
			ran := cs.State.Running != nil || cs.LastTerminationState.Terminated != nil || (was != nil && was.State.Running != nil)
			if !ran {
				continue
			}
			cs.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: reasonStatusUnknown, Message: messageLostTerminated, ExitCode: exitCodeUnknown}}
			started := false
			cs.Started, cs.Ready = &started, false
		}
	}
	closeList(s.InitContainerStatuses, previous.InitContainerStatuses)
	closeList(s.ContainerStatuses, previous.ContainerStatuses)
	closeList(s.EphemeralContainerStatuses, previous.EphemeralContainerStatuses)
}
