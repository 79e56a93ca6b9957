package cri

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Node holds the facts about the node that shape every pod on it. It is fixed
// for the life of the agent and shared without locks; nothing here writes it.
type Node struct {
	// Name is the name of the Node object; Hostname the kernel's host name,
	// which pods on the host network see.
	Name     string
	Hostname string
	// IPs are the node's addresses, the primary first: at most one per family.
	IPs []string
	// Root is the agent's directory (/var/lib/kubelet), PodLogs the directory
	// of the pods' logs (/var/log/pods).
	Root    string
	PodLogs string
	// ClusterDomain and ClusterDNS fill resolv.conf of ClusterFirst pods.
	ClusterDomain string
	ClusterDNS    []string
	// HostDNS is the host's own resolver configuration (ParseResolvConf).
	HostDNS DNS
	// SeccompDefault makes RuntimeDefault the profile of containers that name
	// none.
	SeccompDefault bool
	// NoCPUQuota turns off CFS quotas; CPUPeriod is their period (100ms if 0).
	NoCPUQuota bool
	CPUPeriod  time.Duration
	// MemoryCapacity is the machine's memory in bytes, against which
	// oom_score_adj is weighed.
	MemoryCapacity int64
	// Allocatable answers resourceFieldRef of containers without limits.
	Allocatable corev1.ResourceList
	// HugePageSizes are the sizes the kernel has, as in cgroup names ("2MB").
	HugePageSizes []string
	// CgroupV2 is set on the unified hierarchy.
	CgroupV2 bool
	// SwapController is set where swap can be limited; containers then get
	// none, which is upstream's NoSwap.
	SwapController bool
	// SingleProcessOOMKill keeps cgroup v2 from killing a container as a whole.
	SingleProcessOOMKill bool
	// NoRecursiveReadOnly is set where kernel or runtime lack recursive
	// read-only mounts.
	NoRecursiveReadOnly bool
}

// PodInput is one pod as the runtime shall see it.
type PodInput struct {
	Node *Node
	Pod  *corev1.Pod
	// IPs are the pod's addresses; empty before its sandbox runs. Pods on the
	// host network take the node's.
	IPs []string
	// CgroupParent is what cgroup.Manager gave for the pod.
	CgroupParent string
	// Attempt counts the pod's sandboxes, from 0.
	Attempt uint32
	// UserNamespace is set for pods with hostUsers: false.
	UserNamespace *runtimeapi.UserNamespace
}

// ImageUser is the user an image runs as, from the image's status: a number
// or a name, or neither (root).
type ImageUser struct {
	UID  *int64
	Name string
}

// Objects looks up the ConfigMaps and Secrets of env and envFrom. Errors for
// which apierrors.IsNotFound holds are tolerated where the reference is
// optional.
type Objects interface {
	ConfigMap(namespace, name string) (*corev1.ConfigMap, error)
	Secret(namespace, name string) (*corev1.Secret, error)
}

// ContainerInput is one container of a pod, ready to be created.
type ContainerInput struct {
	PodInput
	Container *corev1.Container
	// RestartCount is the attempt number, and the N of the log's name.
	RestartCount int
	// Image is the reference the image manager resolved; ImageUser its user.
	Image     string
	ImageUser ImageUser
	// TargetID is the container whose PID namespace an ephemeral container
	// joins, or "".
	TargetID string
	Objects  Objects
	// Services are all services of the pod's namespace and of "default", for
	// service environment variables; nil where enableServiceLinks is false
	// costs nothing.
	Services []*corev1.Service
	// Volumes are the pod's volumes by name, from the volume manager.
	Volumes map[string]Volume
	// Mounts are what Mounts returned; ContainerConfig passes them on.
	Mounts []*runtimeapi.Mount
	// Devices, CDIDevices and ExtraEnv come from device plugins.
	Devices    []*runtimeapi.Device
	CDIDevices []*runtimeapi.CDIDevice
	ExtraEnv   []*runtimeapi.KeyValue
	// Annotations of device plugins, added to the container's.
	Annotations map[string]string
}

// Volume is where the volume manager put one volume of the pod.
type Volume struct {
	// Path is the directory, file or device on the host.
	Path string
	// ReadOnly forbids writing whatever the volumeMount says.
	ReadOnly bool
	// SELinuxRelabel asks the runtime to relabel.
	SELinuxRelabel bool
	// Block is a raw device.
	Block bool
	// Image is set for image volumes, which the runtime mounts itself.
	Image *runtimeapi.ImageSpec
}

// Waiting reasons that a container shows while its configuration fails.
const (
	ReasonConfigError          = "CreateContainerConfigError"
	ReasonPreCreateHookError   = "PreCreateHookError"
	ReasonCreateContainerError = "CreateContainerError"
	ReasonRunContainerError    = "RunContainerError"
)

// ConfigError says that a container cannot be configured as it stands. Its
// message is the one upstream shows.
type ConfigError struct {
	Reason string
	Err    error
}

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// PrivateError shows users a message without the details of the host that Err,
// meant for the agent's log, gives away.
type PrivateError struct {
	Message string
	Err     error
}

func (e *PrivateError) Error() string { return e.Message }
func (e *PrivateError) Unwrap() error { return e.Err }
