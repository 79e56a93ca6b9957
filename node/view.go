package node

import (
	"fmt"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"proa/node/admit"
	"proa/node/pod"
	"proa/node/register"
	"proa/node/worker"
)

// nodeView is the newest Node object, for those who judge pods by it.
type nodeView struct {
	mu   sync.Mutex
	node *v1.Node
}

func (v *nodeView) set(n *v1.Node) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.node = n
}

func (v *nodeView) get() *v1.Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.node
}

// nodeChanged takes the newest Node. More to allocate may be enough for a resize
// that was put off.
func (a *Agent) nodeChanged(n *v1.Node) {
	before := a.node.get().Status.Allocatable
	a.node.set(n)
	if !equality.Semantic.DeepEqual(before, n.Status.Allocatable) {
		a.workers.RetryResizes()
	}
}

// expectedNode is the Node as it will be registered, to judge static pods by
// while the API server has not yet been reached.
func (a *Agent) expectedNode(allocatable v1.ResourceList) *v1.Node {
	n := register.New(a.machine, a.facts)
	n.Status.Allocatable = allocatable
	return n
}

// admit is the node's own check of a pod.
func (a *Agent) admit(p *v1.Pod, others []*v1.Pod) *worker.Rejection {
	n := admit.Node{Object: a.node.get(), AllowedUnsafeSysctls: a.cfg.Kubelet.AllowedUnsafeSysctls}
	under := a.pressure()
	n.MemoryPressure, n.DiskPressure, n.PIDPressure = under.Memory, under.Disk, under.PID
	if r := admit.Check(n, p, others); r != nil {
		return &worker.Rejection{Reason: r.Reason, Message: r.Message}
	}
	return nil
}

// served is the agent as its HTTPS API sees it; it implements server.Agent.
type served struct{ a *Agent }

// withStatus returns the pod with its newest status.
func (s served) withStatus(p *v1.Pod) *v1.Pod {
	st, ok := s.a.statuses.Get(p.UID)
	if !ok {
		return p
	}
	out := *p
	out.Status = st
	return &out
}

// Pods returns all pods of the node with their newest status.
func (s served) Pods() []*v1.Pod {
	snapshots := s.a.workers.Snapshots()
	out := make([]*v1.Pod, 0, len(snapshots))
	for _, sn := range snapshots {
		out = append(out, s.withStatus(sn.Pod))
	}
	return out
}

// Pod finds a pod. A static pod is also found by the UID of its mirror.
func (s served) Pod(namespace, name string, uid types.UID) (*v1.Pod, bool) {
	for _, sn := range s.a.workers.Snapshots() {
		p := sn.Pod
		if p.Namespace != namespace || p.Name != name {
			continue
		}
		if uid == "" || p.UID == uid || s.mirrors(p, uid) {
			return s.withStatus(p), true
		}
	}
	return nil, false
}

func (s served) mirrors(p *v1.Pod, uid types.UID) bool {
	if !pod.IsStatic(p) || s.a.mirrors == nil {
		return false
	}
	m, ok := s.a.mirrors.Mirror(pod.FullName(p))
	return ok && m == uid
}

// Container returns the CRI ID of a container's present instance, or of the last
// one that ended.
func (s served) Container(p *v1.Pod, name string, previous bool) (string, bool) {
	status, _ := s.a.statuses.Get(p.UID)
	for _, list := range [][]v1.ContainerStatus{status.ContainerStatuses, status.InitContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			if cs := &list[i]; cs.Name == name {
				return instance(cs, previous)
			}
		}
	}
	return "", false
}

// instance picks the instance that a request for a container's log means.
func instance(cs *v1.ContainerStatus, previous bool) (string, bool) {
	id := ""
	last := cs.LastTerminationState.Terminated
	switch {
	case previous:
		if last != nil {
			id = last.ContainerID
		}
	case cs.State.Running != nil:
		id = cs.ContainerID
	case cs.State.Terminated != nil:
		id = cs.State.Terminated.ContainerID
		if id == "" && last != nil {
			id = last.ContainerID
		}
	case last != nil:
		id = last.ContainerID
	}
	_, id, ok := strings.Cut(id, "://")
	return id, ok && id != ""
}

// Sandbox returns the CRI ID of the pod's sandbox.
func (s served) Sandbox(p *v1.Pod) (string, bool) {
	sn, ok := s.a.workers.Snapshot(p.UID)
	if !ok {
		return "", false
	}
	if box := sn.Observed.ReadySandbox(); box != nil {
		return box.ID, true
	}
	return "", false
}

// Configz returns the effective configuration.
func (s served) Configz() any { return s.a.cfg.Kubelet }

// unhealthyAfter is how many listings of the runtime may fail or be late before
// the agent calls itself unhealthy.
const unhealthyAfter = 3

// Healthy returns nil while the runtime could be listed lately.
func (s served) Healthy() error {
	last := time.Unix(0, s.a.listed.Load())
	if age := time.Since(last); age > unhealthyAfter*s.a.cfg.Relist {
		return fmt.Errorf("the container runtime was last seen active %v ago; threshold is %v", age.Round(time.Second), unhealthyAfter*s.a.cfg.Relist)
	}
	return nil
}
