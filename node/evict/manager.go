package evict

import (
	"context"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/node/pod"
)

// Interval is the pause between measurements.
const Interval = 10 * time.Second

// Config is what a Manager is made of.
type Config struct {
	Thresholds []Threshold
	// Hold is how long a condition outlasts its cause.
	Hold time.Duration
	// MaxGrace bounds the grace period of pods ended for a soft threshold.
	MaxGrace time.Duration
	// Levels measures what is left.
	Levels func(ctx context.Context) map[Signal]Level
	// Usage measures what the pods that have not ended use.
	Usage func(ctx context.Context, s Signal) []Usage
	// ReclaimImages removes unused images.
	ReclaimImages func(ctx context.Context) error
	// Fail ends a pod and reports whether there was one to end.
	Fail func(uid types.UID, f pod.Finish, grace time.Duration, conditions ...v1.PodCondition) bool
	// Event records an event on a pod, NodeEvent one on the node.
	Event     func(p *v1.Pod, fieldPath, eventType, reason, message string)
	NodeEvent func(eventType, reason, message string)
	// Changed is called when the conditions changed.
	Changed func()
	Log     *slog.Logger
}

// Manager watches over the node's resources.
type Manager struct {
	cfg   Config
	state State

	mu         sync.Mutex
	conditions map[v1.NodeConditionType]bool
}

// New returns a manager; nothing runs before Run.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, conditions: map[v1.NodeConditionType]bool{}}
}

// Under reports whether a condition holds.
func (m *Manager) Under(c v1.NodeConditionType) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conditions[c]
}

// Run measures and acts until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	if len(m.cfg.Thresholds) == 0 {
		return nil
	}
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		m.Once(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once measures and acts once. At most one pod is ended: what its end brings is
// seen the next time.
func (m *Manager) Once(ctx context.Context) {
	plan := Decide(m.cfg.Levels(ctx), m.cfg.Thresholds, m.state, m.cfg.Hold, time.Now())
	m.state = plan.State
	m.publish(plan.Conditions)
	if plan.Threshold == nil {
		return
	}
	t := *plan.Threshold
	m.cfg.NodeEvent(v1.EventTypeWarning, "EvictionThresholdMet", "Attempting to reclaim "+string(t.Signal.resource()))
	if plan.ReclaimImages {
		if err := m.cfg.ReclaimImages(ctx); err != nil {
			m.cfg.Log.Warn("unused images cannot be removed", "error", err)
		}
		if l, ok := m.cfg.Levels(ctx)[t.Signal]; ok && l.Available >= t.Least(l.Capacity) {
			return
		}
	}
	ranked := Rank(t.Signal, m.cfg.Usage(ctx, t.Signal))
	for _, u := range ranked {
		grace := time.Duration(0)
		if t.Grace > 0 {
			grace = m.cfg.MaxGrace
		}
		message := Message(t, plan.Level, u)
		ok := m.cfg.Fail(u.Pod.UID, pod.Finish{Reason: "Evicted", Message: message}, grace, v1.PodCondition{
			Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonTerminationByKubelet, Message: message,
		})
		if ok {
			m.cfg.Log.Warn("pod evicted", "pod", u.Pod.Namespace+"/"+u.Pod.Name, "signal", t.Signal, "available", plan.Level.Available)
			m.cfg.Event(u.Pod, "", v1.EventTypeWarning, "Evicted", message)
			return
		}
	}
	m.cfg.Log.Error("no pod is left to evict", "signal", t.Signal, "available", plan.Level.Available, "threshold", t.Least(plan.Level.Capacity))
}

func (m *Manager) publish(conditions map[v1.NodeConditionType]bool) {
	m.mu.Lock()
	changed := len(conditions) != len(m.conditions)
	for c := range conditions {
		changed = changed || !m.conditions[c]
	}
	m.conditions = conditions
	m.mu.Unlock()
	if changed && m.cfg.Changed != nil {
		m.cfg.Changed()
	}
}
