package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/resize"
)

// Input is everything a decision rests on. Decide reads it and keeps nothing.
type Input struct {
	// Pod is as it was granted, see package resize.
	Pod      *v1.Pod
	Observed Observed
	// Prepared is true once directories, cgroup and volumes of the pod are there.
	Prepared bool
	// StartTime is when the agent accepted the pod; activeDeadlineSeconds counts
	// from it.
	StartTime time.Time
	// Verdicts of the probes, by container ID.
	Verdicts map[string]Verdict
	// Given is what the runtime was last told of the containers' resources.
	Given resize.Granted
	// Room is true once the pod's cgroup has room for what was granted.
	Room bool
	// Memory of this process about the pod's containers, by name.
	Memory map[string]Memory
	// SandboxRetryAt is when a failed sandbox may be tried again.
	SandboxRetryAt time.Time
	// Busy are the operations under way.
	Busy Busy
	// Stop, when set, means the pod must end.
	Stop   *Stop
	Limits BackoffLimits
	Now    time.Time
}

// Verdict is what the probes say of one running container.
type Verdict struct {
	// Started is true once the startup probe has passed, or when there is none,
	// and the postStart hook is done.
	Started bool
	// LivenessFailed and StartupFailed ask for the container to be stopped.
	LivenessFailed bool
	StartupFailed  bool
	// Grace overrides the pod's termination grace period when the failing probe
	// has one of its own.
	Grace *int64
}

// Memory is what this process remembers of one container, by name.
type Memory struct {
	Backoff Backoff
	// RetryAt is when a failed attempt to start may be repeated.
	RetryAt time.Time
	// Replace is the ID of an instance that was stopped so that a new one takes
	// its place, whatever the restart policy says.
	Replace string
}

// Busy are the operations under way for a pod.
type Busy struct {
	// Sandbox is true while a sandbox is being made or stopped.
	Sandbox bool
	// Starting holds the names of containers being started or queued to start.
	Starting map[string]bool
	// Stopping holds, by container ID, the deadline of a stop under way.
	Stopping map[string]time.Time
	// Removing holds the IDs of containers being removed.
	Removing map[string]bool
}

func (b *Busy) idle() bool {
	return !b.Sandbox && len(b.Starting) == 0 && len(b.Stopping) == 0 && len(b.Removing) == 0
}

// Stop says that and how a pod must end.
type Stop struct {
	// Since is when the stop was asked for.
	Since time.Time
	// Grace is how long the containers may take from then on.
	Grace time.Duration
}

// Deadline is when the containers are killed if they have not ended by themselves.
func (s *Stop) Deadline() time.Time { return s.Since.Add(s.Grace) }

// MinGrace is the least time a container gets between being asked to end and
// being killed.
const MinGrace = 2 * time.Second
