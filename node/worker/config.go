package worker

import (
	"context"
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/image"
	"proa/node/observe"
	"proa/node/pod"
	"proa/node/probe"
)

// Runtime is what a worker does to the container runtime.
type Runtime interface {
	RunPodSandbox(ctx context.Context, config *runtimeapi.PodSandboxConfig, handler string) (string, error)
	StopPodSandbox(ctx context.Context, id string) error
	RemovePodSandbox(ctx context.Context, id string) error
	CreateContainer(ctx context.Context, sandboxID string, config *runtimeapi.ContainerConfig, sandbox *runtimeapi.PodSandboxConfig) (string, error)
	StartContainer(ctx context.Context, id string) error
	StopContainer(ctx context.Context, id string, timeoutSeconds int64) error
	RemoveContainer(ctx context.Context, id string) error
	UpdateContainerResources(ctx context.Context, id string, resources *runtimeapi.ContainerResources) error
	ContainerStats(ctx context.Context, id string) (*runtimeapi.ContainerStats, error)
}

// Observer reads the container runtime.
type Observer interface {
	Pod(ctx context.Context, uid types.UID) (pod.Observed, error)
	All(ctx context.Context) (map[types.UID]*observe.Brief, error)
	Forget(containerID string)
}

// Volumes puts the pod's volumes on disk.
type Volumes interface {
	Setup(ctx context.Context, p *v1.Pod) (map[string]cri.Volume, error)
	TearDown(ctx context.Context, uid types.UID) error
}

// Images makes images present.
type Images interface {
	Ensure(ctx context.Context, r image.Request) (image.Result, error)
}

// Cgroups keeps the pod's cgroup.
type Cgroups interface {
	EnsurePod(p *v1.Pod) (parent string, err error)
	// MemoryUsage is how much memory the pod uses, in bytes.
	MemoryUsage(p *v1.Pod) (uint64, error)
	RemovePod(uid types.UID) error
}

// Objects are the ConfigMaps and Secrets pods refer to.
type Objects interface {
	Register(p *v1.Pod)
	Unregister(uid types.UID)
	ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*v1.Secret, error)
}

// Statuses receives every pod's status.
type Statuses interface {
	Set(uid types.UID, s v1.PodStatus)
	Get(uid types.UID) (v1.PodStatus, bool)
	Finalize(uid types.UID)
	Forget(uid types.UID)
}

// Probes runs the probes of containers.
type Probes interface {
	// Sync makes the running probes of a pod those of the given containers and
	// returns the state of each by container ID.
	Sync(uid types.UID, targets []probe.Target) map[string]probe.State
}

// Lifecycle runs the hooks of a container.
type Lifecycle interface {
	Run(ctx context.Context, p *v1.Pod, c *v1.Container, containerID, podIP string, h *v1.LifecycleHandler) error
}

// Logs keeps the logs of running containers within bounds.
type Logs interface {
	Add(containerID, path string)
	Remove(containerID string)
}

// UserNamespaces gives pods that ask for it IDs of their own.
type UserNamespaces interface {
	Ensure(p *v1.Pod) (*runtimeapi.UserNamespace, error)
	Release(uid types.UID)
}

// Rejection is why the node refuses a pod.
type Rejection struct{ Reason, Message string }

// Config is what workers are made of. All fields are required unless they say
// otherwise.
type Config struct {
	Node     *cri.Node
	Runtime  Runtime
	Observer Observer
	Volumes  Volumes
	Images   Images
	Cgroups  Cgroups
	// Objects may be nil on an agent without an API server.
	Objects   Objects
	Statuses  Statuses
	Probes    Probes
	Lifecycle Lifecycle
	// Logs may be nil.
	Logs Logs
	// UserNamespaces may be nil; pods with hostUsers: false then fail.
	UserNamespaces UserNamespaces
	// Admit judges a new pod, or one that asks for other resources, beside those
	// already accepted; nil accepts all.
	Admit func(p *v1.Pod, others []*v1.Pod) *Rejection
	// Handler resolves a pod's RuntimeClass to the runtime's handler; nil means
	// that only the default handler is known.
	Handler func(ctx context.Context, p *v1.Pod) (string, error)
	// Services for the environment of a pod's containers; may be nil.
	Services func(ctx context.Context, p *v1.Pod) ([]*v1.Service, error)
	// Isolate returns once the pod's addresses let through no more than network
	// policies allow; until it has, no container of a new sandbox is started. nil
	// lets through everything.
	Isolate func(ctx context.Context, p *v1.Pod, ips []string) error
	// Event records an event on a pod; fieldPath names the container concerned
	// or is empty.
	Event func(p *v1.Pod, fieldPath, eventType, reason, message string)
	// RuntimeName prefixes container IDs, for example "containerd".
	RuntimeName string
	// ContainerLogs is the directory of the links that log collectors follow;
	// empty makes none.
	ContainerLogs string
	Limits        pod.BackoffLimits
	// Relist is the pause between safety-net listings of the runtime.
	Relist time.Duration
	Log    *slog.Logger
}

// objectsAt binds object look-ups to a context, as package cri asks for them.
type objectsAt struct {
	ctx     context.Context
	objects Objects
}

func (o objectsAt) ConfigMap(namespace, name string) (*v1.ConfigMap, error) {
	if o.objects == nil {
		return nil, errNoAPI("configmap", name)
	}
	return o.objects.ConfigMap(o.ctx, namespace, name)
}

func (o objectsAt) Secret(namespace, name string) (*v1.Secret, error) {
	if o.objects == nil {
		return nil, errNoAPI("secret", name)
	}
	return o.objects.Secret(o.ctx, namespace, name)
}
