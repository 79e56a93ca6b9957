package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/observe"
	"proa/node/pod"
)

// rememberGone is how many ended UIDs are remembered, against stale reads.
const rememberGone = 4096

// Manager holds the workers of all pods of the node. Safe for concurrent use.
type Manager struct {
	cfg Config

	mu      sync.Mutex
	ctx     context.Context
	ops     sync.WaitGroup
	workers map[types.UID]*worker
	// found is what the runtime held when the agent started, by UID.
	found map[types.UID]*observe.Brief
	// gone are UIDs that have ended, in a ring of bounded size.
	gone     map[types.UID]bool
	goneRing []types.UID
	// parked are static pods that wait for an older one of the same name to end.
	parked map[string]*v1.Pod
}

// NewManager returns a manager without pods.
func NewManager(cfg Config) *Manager {
	return &Manager{
		cfg:     cfg,
		workers: map[types.UID]*worker{},
		gone:    map[types.UID]bool{},
		parked:  map[string]*v1.Pod{},
	}
}

// Start reads what the runtime holds. Call it, successfully, before the first
// Set; workers live until ctx ends.
func (m *Manager) Start(ctx context.Context) error {
	found, err := m.cfg.Observer.All(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ctx, m.found = ctx, found
	return nil
}

// Wait returns when all workers have ended.
func (m *Manager) Wait() { m.ops.Wait() }

// Set makes p the desired state of the pod with its UID, new or known.
func (m *Manager) Set(p *v1.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	static := pod.IsStatic(p)
	if w := m.workers[p.UID]; w != nil {
		switch {
		case !w.leaving:
			m.want(w, p)
		case static:
			// The same manifest came back; it starts anew once this run is over.
			m.parked[w.name] = p
		}
		return
	}
	if m.gone[p.UID] && !static {
		// A read older than the pod's end.
		m.cfg.Log.Debug("ignoring a pod that has already ended", "pod", p.Namespace+"/"+p.Name, "uid", p.UID)
		return
	}
	if static {
		for _, w := range m.workers {
			if w.name == pod.FullName(p) {
				m.parked[w.name] = p
				return
			}
		}
	}
	m.admit(p)
}

// admit starts a worker for a new pod, as one that runs or one that is refused.
func (m *Manager) admit(p *v1.Pod) {
	found := m.found[p.UID]
	known := m.remember(p, found != nil)
	wanted, p := p, known.Granted.Apply(p)
	w := newWorker(&m.cfg, p, m.ended)
	w.grant = grant{granted: known.Granted, wanted: wanted}
	w.resizing = newResizeState(wanted, known)
	w.freed = m.RetryResizes
	w.stale = found != nil
	if found == nil && p.DeletionTimestamp == nil && !pod.IsTerminal(p) && m.cfg.Admit != nil {
		if r := m.cfg.Admit(p, m.admitted(nil)); r != nil {
			w.rejected, w.view.refused = r, true
			m.cfg.Log.Warn("pod refused", "pod", p.Namespace+"/"+p.Name, "reason", r.Reason, "message", r.Message)
			m.cfg.Event(p, "", v1.EventTypeWarning, r.Reason, r.Message)
		}
	}
	m.run(w)
	m.want(w, wanted)
}

func (m *Manager) run(w *worker) {
	m.workers[w.uid] = w
	m.ops.Go(func() { w.run(m.ctx) })
}

// Remove says that no source wants the pod any more.
func (m *Manager) Remove(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.workers[uid]; w != nil {
		w.leaving = true
		w.post(func() { w.removed = true })
	}
	for name, p := range m.parked {
		if p.UID == uid {
			delete(m.parked, name)
		}
	}
}

// Fail ends a pod as failed, for example to reclaim a resource the node runs out
// of. conditions are added to its status; grace limits the time to end.
func (m *Manager) Fail(uid types.UID, f pod.Finish, grace time.Duration, conditions ...v1.PodCondition) bool {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w == nil {
		return false
	}
	w.post(func() {
		if w.finish == nil {
			w.finish, w.conditions = &f, conditions
		}
		w.beginStop(min(grace, w.gracePeriod()))
	})
	return true
}

// ended is called by a worker whose goroutine returns.
func (m *Manager) ended(w *worker) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !w.gone {
		return // the agent stops; the pod lives on
	}
	delete(m.workers, w.uid)
	delete(m.found, w.uid)
	if len(m.goneRing) == rememberGone {
		delete(m.gone, m.goneRing[0])
		m.goneRing = m.goneRing[1:]
	}
	m.gone[w.uid] = true
	m.goneRing = append(m.goneRing, w.uid)
	if p := m.parked[w.name]; p != nil {
		delete(m.parked, w.name)
		m.admit(p)
	}
	m.retryResizes()
}

// Notify says that something of the pod changed in the runtime.
func (m *Manager) Notify(e observe.Event) {
	m.mu.Lock()
	w := m.workers[e.UID]
	m.mu.Unlock()
	if w != nil {
		w.post(func() { w.heard(e) })
	}
}

// heard makes the worker look at the runtime, unless it has already seen what the
// event tells: most events are the echo of its own operations.
func (w *worker) heard(e observe.Event) {
	if c := w.observed.ByID(e.ContainerID); c != nil {
		switch e.Type {
		case runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT:
			return
		case runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT:
			if c.State == pod.Running || c.State == pod.Exited {
				return
			}
		case runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT:
			if c.State == pod.Exited {
				return
			}
		}
		w.stale = true
		return
	}
	for i := range w.observed.Sandboxes {
		s := &w.observed.Sandboxes[i]
		if s.ID != e.ContainerID {
			continue
		}
		switch e.Type {
		case runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT:
			return
		case runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT:
			if !s.Ready {
				return
			}
		}
		w.stale = true
		return
	}
	if e.Type == runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT {
		return
	}
	// Something unknown was made. If an operation of this worker made it, the
	// worker will look when the operation ends.
	if !w.inSandbox && len(w.starting) == 0 {
		w.stale = true
	}
}

// update takes a newer desired pod.
func (w *worker) update(p *v1.Pod) {
	w.removed = false
	w.desired = p
	if w.orphan {
		w.orphan = false
		w.previous = *p.Status.DeepCopy()
		if w.stop != nil && p.DeletionTimestamp == nil {
			// Already being ended; the pod fails rather than start again.
			w.finish = &pod.Finish{Reason: "Terminated", Message: "Pod was being terminated when it was seen again"}
		}
	}
}

// admitted returns the pod if it still counts against the node's resources.
func (w *worker) admitted() (*v1.Pod, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.pod, !w.view.stopped && !w.view.refused
}

// Relist compares a listing of the runtime with what the workers know, and makes
// those look that disagree. With orphans set, pods that no worker owns are ended;
// set it only once every source has spoken. The listing is returned.
func (m *Manager) Relist(ctx context.Context, orphans bool) (map[types.UID]*observe.Brief, error) {
	all, err := m.cfg.Observer.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("relist: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for uid, brief := range all {
		if w := m.workers[uid]; w != nil {
			w.mu.Lock()
			same := brief.Matches(&w.view.observed)
			w.mu.Unlock()
			if !same {
				w.post(func() { w.stale = true })
			}
			continue
		}
		if orphans {
			m.adopt(brief)
		}
	}
	for uid, w := range m.workers {
		if all[uid] == nil {
			w.mu.Lock()
			empty := w.view.observed.Empty()
			w.mu.Unlock()
			if !empty {
				w.post(func() { w.stale = true })
			}
		}
	}
	m.retryResizes()
	return all, nil
}

// adopt starts a worker that ends a pod known only from the runtime.
func (m *Manager) adopt(b *observe.Brief) {
	m.cfg.Log.Info("ending a pod that no source knows", "pod", b.Namespace+"/"+b.Name, "uid", b.UID)
	w := newWorker(&m.cfg, &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: b.UID, Name: b.Name, Namespace: b.Namespace}}, m.ended)
	w.freed = m.RetryResizes
	w.orphan, w.stale, w.view.orphan = true, true, true
	m.run(w)
}

// Retry repeats now what failed for the pod and waits to be repeated: something
// it waited for may have appeared.
func (m *Manager) Retry(uid types.UID) {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w != nil {
		w.post(w.retry)
	}
}

// retry forgets the pauses after failures, except the back-offs of crashes and of
// image pulls, which have reasons of their own.
func (w *worker) retry() {
	w.setup.retryAt = time.Time{}
	for name, mem := range w.memory {
		if w.reasons[name].Reason == cri.ReasonConfigError {
			mem.RetryAt = time.Time{}
			w.memory[name] = mem
		}
	}
}

// Known reports whether a worker exists for the UID.
func (m *Manager) Known(uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[uid] != nil
}

// Snapshot is one pod as its worker knows it.
type Snapshot struct {
	Pod      *v1.Pod
	Observed pod.Observed
	// Stopped is true once nothing of the pod can run again.
	Stopped bool
}

// Snapshots returns all pods that came from a source, in no order. Share, do not
// change.
func (m *Manager) Snapshots() []Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Snapshot, 0, len(m.workers))
	for _, w := range m.workers {
		w.mu.Lock()
		v := w.view
		w.mu.Unlock()
		if !v.orphan {
			out = append(out, Snapshot{Pod: v.pod, Observed: v.observed, Stopped: v.stopped})
		}
	}
	return out
}

// Snapshot returns one pod.
func (m *Manager) Snapshot(uid types.UID) (Snapshot, bool) {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w == nil {
		return Snapshot{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return Snapshot{Pod: w.view.pod, Observed: w.view.observed, Stopped: w.view.stopped}, true
}
