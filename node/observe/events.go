package observe

import (
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
)

// Event says that something of a pod changed in the runtime.
type Event struct {
	UID types.UID
	// ContainerID is the container's, or the sandbox's.
	ContainerID string
	Type        runtimeapi.ContainerEventType
}

// EventOf reads a runtime's event, and reports whether it tells of a pod. A
// runtime may leave the sandbox status out of the event about the sandbox's own
// removal; the next listing covers that.
func EventOf(e *runtimeapi.ContainerEventResponse) (Event, bool) {
	out := Event{ContainerID: e.GetContainerId(), Type: e.GetContainerEventType()}
	if uid := e.GetPodSandboxStatus().GetMetadata().GetUid(); uid != "" {
		out.UID = types.UID(uid)
		return out, true
	}
	for _, c := range e.GetContainersStatuses() {
		if uid := c.GetLabels()[cri.LabelPodUID]; uid != "" {
			out.UID = types.UID(uid)
			return out, true
		}
	}
	return out, false
}
