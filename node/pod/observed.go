package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// State is what the runtime says a container is doing.
type State int

// The states of a container, as CRI knows them.
const (
	Unknown State = iota
	Created
	Running
	Exited
)

func (s State) String() string {
	switch s {
	case Created:
		return "created"
	case Running:
		return "running"
	case Exited:
		return "exited"
	}
	return "unknown"
}

// Sandbox is one pod sandbox as the runtime reports it.
type Sandbox struct {
	ID             string
	Attempt        uint32
	Ready          bool
	HostNetwork    bool
	RuntimeHandler string
	CreatedAt      time.Time
	// IPs are the pod's addresses, the primary first; empty on the host network.
	IPs []string
}

// Container is one container instance as the runtime reports it.
type Container struct {
	ID        string
	Name      string
	SandboxID string
	State     State
	// RestartCount is the ordinal of this instance, kept in an annotation so that
	// it outlives the agent.
	RestartCount int32
	// Hash identifies the definition the instance was made from; see cri.Hash.
	Hash uint64

	Image    string
	ImageRef string
	ImageID  string

	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	ExitCode   int32
	Reason     string
	// Message is the termination message once the instance has exited.
	Message string

	LogPath string
	// TerminationMessagePath is the path inside the container, from its annotations.
	TerminationMessagePath   string
	TerminationMessagePolicy v1.TerminationMessagePolicy
	Mounts                   []*runtimeapi.Mount
	Resources                *runtimeapi.ContainerResources
	User                     *runtimeapi.ContainerUser
	StopSignal               runtimeapi.Signal
}

// Observed is everything the runtime holds of one pod, newest first.
type Observed struct {
	Sandboxes  []Sandbox
	Containers []Container
}

// Empty reports whether the runtime holds nothing of the pod.
func (o *Observed) Empty() bool { return len(o.Sandboxes) == 0 && len(o.Containers) == 0 }

// Sandbox returns the newest sandbox, or nil.
func (o *Observed) Sandbox() *Sandbox {
	if len(o.Sandboxes) == 0 {
		return nil
	}
	return &o.Sandboxes[0]
}

// ReadySandbox returns the newest sandbox if it is ready, else nil.
func (o *Observed) ReadySandbox() *Sandbox {
	if s := o.Sandbox(); s != nil && s.Ready {
		return s
	}
	return nil
}

// Latest returns the newest instance of the named container, or nil.
func (o *Observed) Latest(name string) *Container {
	for i := range o.Containers {
		if o.Containers[i].Name == name {
			return &o.Containers[i]
		}
	}
	return nil
}

// LatestIn returns the newest instance of the named container in the given
// sandbox, or nil.
func (o *Observed) LatestIn(sandboxID, name string) *Container {
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Name == name && c.SandboxID == sandboxID {
			return c
		}
	}
	return nil
}

// ByID returns the container with the given ID, or nil.
func (o *Observed) ByID(id string) *Container {
	for i := range o.Containers {
		if o.Containers[i].ID == id {
			return &o.Containers[i]
		}
	}
	return nil
}

// Active reports whether any container may be executing: running, or in a state
// the runtime cannot tell.
func (o *Observed) Active() bool {
	for i := range o.Containers {
		if s := o.Containers[i].State; s == Running || s == Unknown {
			return true
		}
	}
	return false
}
