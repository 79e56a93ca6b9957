package observe

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/pod"
)

// Runtime is what the observer reads from; a cri-api RuntimeService provides it.
type Runtime interface {
	ListPodSandbox(ctx context.Context, filter *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error)
	PodSandboxStatus(ctx context.Context, id string, verbose bool) (*runtimeapi.PodSandboxStatusResponse, error)
	ListContainers(ctx context.Context, filter *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error)
	ContainerStatus(ctx context.Context, id string, verbose bool) (*runtimeapi.ContainerStatusResponse, error)
}

// Messages reads the termination message of an exited container from where the
// container left it.
type Messages interface {
	Read(c *pod.Container) string
}

// Observer reads pods from a runtime. It is safe for concurrent use.
type Observer struct {
	runtime  Runtime
	messages Messages
	log      *slog.Logger

	mu sync.Mutex
	// exited caches instances that have ended: they change no more, so they are
	// asked for once.
	exited map[string]pod.Container
}

// New returns an observer of the runtime. Termination messages are read through
// messages, which may be nil.
func New(runtime Runtime, messages Messages, log *slog.Logger) *Observer {
	return &Observer{runtime: runtime, messages: messages, log: log, exited: map[string]pod.Container{}}
}

// Pod reads all that the runtime holds of the pod with the given UID. What
// disappears between listing and reading is left out.
func (o *Observer) Pod(ctx context.Context, uid types.UID) (pod.Observed, error) {
	var out pod.Observed
	selector := map[string]string{cri.LabelPodUID: string(uid)}
	sandboxes, err := o.runtime.ListPodSandbox(ctx, &runtimeapi.PodSandboxFilter{LabelSelector: selector})
	if err != nil {
		return out, fmt.Errorf("list sandboxes: %w", err)
	}
	containers, err := o.runtime.ListContainers(ctx, &runtimeapi.ContainerFilter{LabelSelector: selector})
	if err != nil {
		return out, fmt.Errorf("list containers: %w", err)
	}
	for _, s := range sandboxes {
		// A sandbox that is not ready never becomes ready again, and has no
		// address to ask for.
		if s.State != runtimeapi.PodSandboxState_SANDBOX_READY {
			out.Sandboxes = append(out.Sandboxes, pod.Sandbox{ID: s.Id, Attempt: s.GetMetadata().GetAttempt(), CreatedAt: time.Unix(0, s.CreatedAt), RuntimeHandler: s.RuntimeHandler})
			continue
		}
		resp, err := o.runtime.PodSandboxStatus(ctx, s.Id, false)
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("status of sandbox %s: %w", s.Id, err)
		}
		out.Sandboxes = append(out.Sandboxes, sandboxOf(resp.GetStatus()))
	}
	for _, c := range containers {
		got, err := o.container(ctx, c)
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("status of container %s: %w", c.Id, err)
		}
		out.Containers = append(out.Containers, got)
	}
	sortNewestFirst(&out)
	return out, nil
}

// container reads one container, from the cache if it has ended.
func (o *Observer) container(ctx context.Context, c *runtimeapi.Container) (pod.Container, error) {
	o.mu.Lock()
	got, ok := o.exited[c.Id]
	o.mu.Unlock()
	if ok {
		return got, nil
	}
	resp, err := o.runtime.ContainerStatus(ctx, c.Id, false)
	if err != nil {
		return pod.Container{}, err
	}
	got = containerOf(resp.GetStatus(), c.GetPodSandboxId())
	if got.State != pod.Exited {
		return got, nil
	}
	if o.messages != nil {
		if m := o.messages.Read(&got); m != "" {
			got.Message = m
		}
	}
	o.mu.Lock()
	o.exited[c.Id] = got
	o.mu.Unlock()
	return got, nil
}

// Forget drops what is cached of a container that was removed.
func (o *Observer) Forget(containerID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.exited, containerID)
}

// Retain drops from the cache whatever the listing no longer holds.
func (o *Observer) retain(live map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.exited {
		if !live[id] {
			delete(o.exited, id)
		}
	}
}

// Identity names a pod found in the runtime.
type Identity struct {
	UID       types.UID
	Name      string
	Namespace string
}

// Brief is what one listing shows of a pod: enough to notice change, not enough
// to decide.
type Brief struct {
	Identity
	Sandboxes  map[string]runtimeapi.PodSandboxState
	Containers map[string]runtimeapi.ContainerState
}

// Matches reports whether the listing agrees with an earlier full reading.
func (b *Brief) Matches(seen *pod.Observed) bool {
	if len(b.Sandboxes) != len(seen.Sandboxes) || len(b.Containers) != len(seen.Containers) {
		return false
	}
	for i := range seen.Sandboxes {
		state, ok := b.Sandboxes[seen.Sandboxes[i].ID]
		if !ok || (state == runtimeapi.PodSandboxState_SANDBOX_READY) != seen.Sandboxes[i].Ready {
			return false
		}
	}
	for i := range seen.Containers {
		state, ok := b.Containers[seen.Containers[i].ID]
		if !ok || stateOf(state) != seen.Containers[i].State {
			return false
		}
	}
	return true
}

// Active reports whether anything of the pod may be running.
func (b *Brief) Active() bool {
	for _, s := range b.Sandboxes {
		if s == runtimeapi.PodSandboxState_SANDBOX_READY {
			return true
		}
	}
	for _, s := range b.Containers {
		if s == runtimeapi.ContainerState_CONTAINER_RUNNING || s == runtimeapi.ContainerState_CONTAINER_UNKNOWN {
			return true
		}
	}
	return false
}

// All lists every pod in the runtime by UID. Sandboxes and containers without a
// pod UID are other people's and are left out.
func (o *Observer) All(ctx context.Context) (map[types.UID]*Brief, error) {
	sandboxes, err := o.runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	containers, err := o.runtime.ListContainers(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	out := map[types.UID]*Brief{}
	at := func(labels map[string]string) *Brief {
		uid := types.UID(labels[cri.LabelPodUID])
		if uid == "" {
			return nil
		}
		b := out[uid]
		if b == nil {
			b = &Brief{
				Identity:   Identity{UID: uid, Name: labels[cri.LabelPodName], Namespace: labels[cri.LabelPodNamespace]},
				Sandboxes:  map[string]runtimeapi.PodSandboxState{},
				Containers: map[string]runtimeapi.ContainerState{},
			}
			out[uid] = b
		}
		return b
	}
	for _, s := range sandboxes {
		if b := at(s.Labels); b != nil {
			b.Sandboxes[s.Id] = s.State
		}
	}
	live := make(map[string]bool, len(containers))
	for _, c := range containers {
		live[c.Id] = true
		if b := at(c.Labels); b != nil {
			b.Containers[c.Id] = c.State
		}
	}
	o.retain(live)
	return out, nil
}

func sandboxOf(s *runtimeapi.PodSandboxStatus) pod.Sandbox {
	out := pod.Sandbox{
		ID:             s.GetId(),
		Attempt:        s.GetMetadata().GetAttempt(),
		Ready:          s.GetState() == runtimeapi.PodSandboxState_SANDBOX_READY,
		HostNetwork:    s.GetLinux().GetNamespaces().GetOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE,
		RuntimeHandler: s.GetRuntimeHandler(),
		CreatedAt:      time.Unix(0, s.GetCreatedAt()),
	}
	if ip := s.GetNetwork().GetIp(); ip != "" && !out.HostNetwork {
		out.IPs = append(out.IPs, ip)
		for _, more := range s.GetNetwork().GetAdditionalIps() {
			out.IPs = append(out.IPs, more.GetIp())
		}
	}
	return out
}

func stateOf(s runtimeapi.ContainerState) pod.State {
	switch s {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return pod.Created
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return pod.Running
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return pod.Exited
	}
	return pod.Unknown
}

func containerOf(s *runtimeapi.ContainerStatus, sandboxID string) pod.Container {
	a := s.GetAnnotations()
	out := pod.Container{
		ID:                       s.GetId(),
		Name:                     s.GetMetadata().GetName(),
		SandboxID:                sandboxID,
		State:                    stateOf(s.GetState()),
		Image:                    s.GetImage().GetImage(),
		ImageRef:                 s.GetImageRef(),
		ImageID:                  s.GetImageId(),
		CreatedAt:                unixNano(s.GetCreatedAt()),
		StartedAt:                unixNano(s.GetStartedAt()),
		FinishedAt:               unixNano(s.GetFinishedAt()),
		ExitCode:                 s.GetExitCode(),
		Reason:                   s.GetReason(),
		Message:                  s.GetMessage(),
		LogPath:                  s.GetLogPath(),
		TerminationMessagePath:   a[cri.AnnotationTerminationMessagePath],
		TerminationMessagePolicy: v1.TerminationMessagePolicy(a[cri.AnnotationTerminationMessagePolicy]),
		Mounts:                   s.GetMounts(),
		Resources:                s.GetResources(),
		User:                     s.GetUser(),
		StopSignal:               s.GetStopSignal(),
	}
	if name := s.GetLabels()[cri.LabelContainerName]; name != "" {
		out.Name = name
	}
	// A missing or broken annotation leaves zero: the count starts over, and the
	// hash says "changed", which is the safe reading of a container we did not make.
	if n, err := strconv.ParseInt(a[cri.AnnotationRestartCount], 10, 32); err == nil {
		out.RestartCount = int32(n)
	} else {
		out.RestartCount = int32(s.GetMetadata().GetAttempt())
	}
	if h, err := strconv.ParseUint(a[cri.AnnotationHash], 16, 64); err == nil {
		out.Hash = h
	}
	return out
}

// unixNano converts CRI's nanoseconds, where zero means "not yet".
func unixNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// sortNewestFirst orders sandboxes and containers by creation, and containers of
// one name by restart count first: it survives a clock that jumps.
func sortNewestFirst(o *pod.Observed) {
	slices.SortStableFunc(o.Sandboxes, func(a, b pod.Sandbox) int {
		return cmp.Or(cmp.Compare(b.Attempt, a.Attempt), b.CreatedAt.Compare(a.CreatedAt))
	})
	slices.SortStableFunc(o.Containers, func(a, b pod.Container) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.RestartCount, a.RestartCount), b.CreatedAt.Compare(a.CreatedAt))
	})
}
