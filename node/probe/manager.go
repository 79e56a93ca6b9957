package probe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Target is one running container instance.
type Target struct {
	Pod       *v1.Pod
	Container *v1.Container
	ID        string
	StartedAt time.Time
	// IP of the pod, the default host of network checks.
	IP string
	// WasStarted and WasReady are what was known of this instance before the
	// agent restarted; the probes start from there instead of from "no".
	WasStarted, WasReady bool
	// Stopping is true once the pod is being ended: only readiness goes on.
	Stopping bool
	// Notify is called from another goroutine when the state changed.
	Notify func()
}

// State is what the probes of one instance say.
type State struct {
	Started, Ready                bool
	LivenessFailed, StartupFailed bool
	// Grace is the termination grace period of the probe that failed, if it has
	// one of its own.
	Grace *int64
}

// Kind is one of the three kinds of probes.
type Kind string

// The kinds, as events name them.
const (
	Startup   Kind = "Startup"
	Liveness  Kind = "Liveness"
	Readiness Kind = "Readiness"
)

// Outcome of one check.
type Outcome int

// The outcomes. A check that could not be made is an error and counts as Failure.
const (
	Failure Outcome = iota
	Success
	// Warning counts as success but is worth an event.
	Warning
)

// Checker makes one check. The output explains the outcome to people.
type Checker interface {
	Check(ctx context.Context, t Target, p *v1.Probe) (Outcome, string, error)
}

// Config is what a Manager is made of.
type Config struct {
	Checker Checker
	// Event records an event on a pod about one of its containers.
	Event func(p *v1.Pod, container, eventType, reason, message string)
	// Count is told of every check that was made; may be nil.
	Count func(t Target, k Kind, o Outcome)
	Log   *slog.Logger
}

// Manager runs the probes of the node's containers. Safe for concurrent use.
type Manager struct {
	cfg Config
	ctx context.Context

	mu   sync.Mutex
	pods map[types.UID]map[string]*instance
	wg   sync.WaitGroup
}

// NewManager returns a manager whose probes end with ctx.
func NewManager(ctx context.Context, cfg Config) *Manager {
	return &Manager{cfg: cfg, ctx: ctx, pods: map[types.UID]map[string]*instance{}}
}

// Wait returns when all probes have ended.
func (m *Manager) Wait() { m.wg.Wait() }

// Sync makes the probes that run for a pod those of its targets, and returns the
// state of each target by container ID.
func (m *Manager) Sync(uid types.UID, targets []Target) map[string]State {
	m.mu.Lock()
	defer m.mu.Unlock()
	running := m.pods[uid]
	if len(targets) == 0 {
		for _, in := range running {
			in.cancel()
		}
		delete(m.pods, uid)
		return nil
	}
	if running == nil {
		running = map[string]*instance{}
		m.pods[uid] = running
	}
	states := make(map[string]State, len(targets))
	for _, t := range targets {
		in := running[t.ID]
		if in == nil {
			in = m.launch(t)
			running[t.ID] = in
		}
		states[t.ID] = in.retarget(t)
	}
	for id, in := range running {
		if _, ok := states[id]; !ok {
			in.cancel()
			delete(running, id)
		}
	}
	return states
}

// instance is one container instance with its probes.
type instance struct {
	m      *Manager
	cancel context.CancelFunc

	mu     sync.Mutex
	target Target
	state  State
	// started is closed when the startup probe has passed.
	started chan struct{}
}

// launch starts the probes of one container.
func (m *Manager) launch(t Target) *instance {
	ctx, cancel := context.WithCancel(m.ctx)
	in := &instance{m: m, cancel: cancel, target: t, started: make(chan struct{})}
	c := t.Container
	in.state.Started = c.StartupProbe == nil || t.WasStarted
	in.state.Ready = c.ReadinessProbe == nil || t.WasReady
	if in.state.Started {
		close(in.started)
	} else {
		in.run(ctx, Startup, c.StartupProbe)
	}
	if c.LivenessProbe != nil {
		in.run(ctx, Liveness, c.LivenessProbe)
	}
	if c.ReadinessProbe != nil {
		in.run(ctx, Readiness, c.ReadinessProbe)
	}
	return in
}

// retarget takes newer facts about the same instance and returns its state.
func (in *instance) retarget(t Target) State {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.target = t
	return in.state
}

// run starts the goroutine of one probe.
func (in *instance) run(ctx context.Context, k Kind, p *v1.Probe) {
	in.m.wg.Go(func() { in.loop(ctx, k, p) })
}

// loop is the life of one probe.
func (in *instance) loop(ctx context.Context, k Kind, p *v1.Probe) {
	if k != Startup {
		select {
		case <-ctx.Done():
			return
		case <-in.started:
		}
	}
	in.mu.Lock()
	first := in.target.StartedAt.Add(time.Duration(p.InitialDelaySeconds) * time.Second)
	in.mu.Unlock()
	timer := time.NewTimer(max(time.Until(first), 0))
	defer timer.Stop()
	period := time.Duration(max(p.PeriodSeconds, 1)) * time.Second
	run, quick := streak{}, firstRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		in.mu.Lock()
		t := in.target
		in.mu.Unlock()
		if t.Stopping && k != Readiness {
			return
		}
		hurry := eager(k, p) && time.Since(first) < period
		ok := in.check(ctx, t, k, p, hurry)
		if ctx.Err() != nil {
			return
		}
		if hurry && !ok {
			quick = min(2*quick, period)
			timer.Reset(quick)
			continue
		}
		if run.add(ok) >= threshold(p, ok) && in.apply(k, ok, p) {
			return
		}
		timer.Reset(period)
	}
}

// firstRetry is the pause after the first failure of an eager probe.
const firstRetry = 20 * time.Millisecond

// eager reports whether a probe is tried more often than its period says during
// the first period, when a container that is about to listen usually does not yet.
// Failures then are neither counted nor told, so that only good news comes
// earlier. Commands, which are dear, keep to their period.
func eager(k Kind, p *v1.Probe) bool {
	return k != Liveness && (p.HTTPGet != nil || p.TCPSocket != nil || p.GRPC != nil)
}

// streak counts equal outcomes in a row.
type streak struct {
	ok bool
	n  int32
}

func (s *streak) add(ok bool) int32 {
	if s.n == 0 || s.ok != ok {
		s.ok, s.n = ok, 0
	}
	s.n++
	return s.n
}

func threshold(p *v1.Probe, ok bool) int32 {
	if ok {
		return max(p.SuccessThreshold, 1)
	}
	if p.FailureThreshold < 1 {
		return 3
	}
	return p.FailureThreshold
}

// apply records a verdict and reports whether the probe is over with it: a
// startup probe that passed, and a startup or liveness probe that failed, for the
// container is stopped then.
func (in *instance) apply(k Kind, ok bool, p *v1.Probe) bool {
	in.mu.Lock()
	before := in.state
	s := &in.state
	over := false
	switch k {
	case Readiness:
		s.Ready = ok
	case Startup:
		over = true
		if s.Started, s.StartupFailed = ok, !ok; ok {
			close(in.started)
		} else {
			s.Grace = p.TerminationGracePeriodSeconds
		}
	case Liveness:
		if over = !ok; !ok {
			s.LivenessFailed, s.Grace = true, p.TerminationGracePeriodSeconds
		}
	}
	changed, notify := *s != before, in.target.Notify
	in.mu.Unlock()
	if changed && notify != nil {
		notify()
	}
	return over
}

// retries is how often a check that could not be made is repeated at once.
const retries = 3

// check makes one check, records an event unless it went well, and reports
// whether it did. A quiet check that fails leaves no trace.
func (in *instance) check(ctx context.Context, t Target, k Kind, p *v1.Probe, quiet bool) bool {
	var outcome Outcome
	var output string
	var err error
	for range retries {
		if outcome, output, err = in.m.cfg.Checker.Check(ctx, t, p); err == nil || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return false
	}
	if quiet && (err != nil || outcome == Failure) {
		return false
	}
	if in.m.cfg.Count != nil {
		in.m.cfg.Count(t, k, outcome)
	}
	name := t.Container.Name
	switch {
	case err != nil:
		in.m.cfg.Log.Debug("probe could not be made", "container", name, "kind", k, "error", err)
		in.m.cfg.Event(t.Pod, name, v1.EventTypeWarning, "Unhealthy", string(k)+" probe errored and resulted in unknown state: "+err.Error())
		return false
	case outcome == Failure:
		in.m.cfg.Event(t.Pod, name, v1.EventTypeWarning, "Unhealthy", string(k)+" probe failed: "+output)
		return false
	case outcome == Warning:
		in.m.cfg.Event(t.Pod, name, v1.EventTypeWarning, "ProbeWarning", string(k)+" probe warning: "+output)
	}
	return true
}
